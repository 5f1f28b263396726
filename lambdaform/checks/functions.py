"""Settings of one function that need or exclude each other: logging, network, file system, runtime management, URL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from lambdaform.checks.destinations import grants_of
from lambdaform.checks.rules import Finding, rule
from lambdaform.checks.runtimes import runtime_of
from lambdaform.model.problem import Severity
from lambdaform.model.runtimes import RUNTIMES, Language

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

LOGGING = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html"
VPC = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html"
FILES = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-filesystem.html"
MANAGEMENT = "https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html"
TIMEOUT = 3
CORS = "https://docs.aws.amazon.com/lambda/latest/api/API_Cors.html"
STREAMING = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html"
_METHODS = ("GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*")


def _inside(node: Node, prop: str) -> dict[str, Any]:
    value = node.props.get(prop)
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


@rule("log-levels", Severity.ERROR, "Log levels are set for JSON lines.", link=LOGGING)
def log_levels(view: View) -> Iterable[Finding]:
    """AWS refuses levels for text."""
    for node in view.functions:
        logging = _inside(node, "logging")
        for prop in ("application_level", "system_level"):
            if prop in logging and logging.get("format", "Text") == "Text":
                yield Finding(
                    node,
                    "only JSON lines have levels",
                    f"logging.{prop}",
                    given=f"{logging[prop]}, with the format Text",
                    hint='add format="JSON", or take the level out',
                )


@rule("vpc-ids", Severity.ERROR, "A function's network is named by ids of subnets and security groups.", link=VPC)
def vpc_ids(view: View) -> Iterable[Finding]:
    """Their form alone."""
    for node in view.functions:
        vpc = _inside(node, "vpc")
        for prop, form in (("subnets", r"subnet-[0-9a-z]+"), ("security_groups", r"sg-[0-9a-zA-Z]+")):
            for each in cast(list[Any], vpc.get(prop, [])):
                if isinstance(each, str) and re.fullmatch(form, each) is None:
                    prefix = form.partition("[")[0]
                    yield Finding(
                        node,
                        f"is not the id of a {'subnet' if prop == 'subnets' else 'security group'}",
                        f"vpc.{prop}",
                        given=repr(each),
                        allowed=f"{prefix} and letters or digits",
                        hint="write the id, not the name",
                    )


@rule("file-system-network", Severity.ERROR, "A function with a file system is in the network of it.", link=FILES)
def file_system_network(view: View) -> Iterable[Finding]:
    """A mount target is reached through the VPC."""
    for node in view.functions:
        if "file_system" in node.props and "vpc" not in node.props:
            yield Finding(
                node,
                "a file system is reached through a VPC, and the function is in none",
                "file_system",
                hint="add vpc=Vpc(subnets=[...], security_groups=[...])",
            )


@rule(
    "runtime-management",
    Severity.ERROR,
    "A runtime's version is named exactly when it is kept by hand.",
    link=MANAGEMENT,
)
def runtime_management(view: View) -> Iterable[Finding]:
    """`Manual` needs the version; the others choose it themselves."""
    for node in view.functions:
        management = _inside(node, "runtime_management")
        manual = management.get("update_on", "Auto") == "Manual"
        if management and manual != ("version_arn" in management):
            yield Finding(
                node,
                "Manual needs the version to stay on" if manual else "only Manual takes a version",
                "runtime_management",
                given=str(management.get("update_on", "Auto")),
                hint="add version_arn=" if manual else 'take version_arn out, or use update_on="Manual"',
            )


@rule("cors-methods", Severity.ERROR, "CORS allows the methods that AWS knows.", link=CORS)
def cors_methods(view: View) -> Iterable[Finding]:
    """At most six characters each, so OPTIONS is refused: Lambda answers it itself."""
    for node in view.of("lambda.url"):
        for method in cast(list[Any], _inside(node, "cors").get("allow_methods", [])):
            if isinstance(method, str) and method not in _METHODS:
                yield Finding(
                    node,
                    "is not a method that can be allowed",
                    "cors.allow_methods",
                    given=method,
                    allowed=", ".join(_METHODS),
                    hint="take it out: Lambda answers OPTIONS itself"
                    if method.upper() == "OPTIONS"
                    else "use one of these",
                )


@rule(
    "cors-origins", Severity.ERROR, "An origin of CORS is `*`, or a scheme and a host.", link=CORS, advisory=True
)  # AWS looks at the length alone
def cors_origins(view: View) -> Iterable[Finding]:
    """Browsers compare the whole origin, so one with a path or a slash at its end never matches."""
    for node in view.of("lambda.url"):
        for origin in cast(list[Any], _inside(node, "cors").get("allow_origins", [])):
            if isinstance(origin, str) and (
                not 1 <= len(origin) <= 253
                or (origin != "*" and re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s]+", origin) is None)
            ):
                yield Finding(
                    node,
                    "is not an origin",
                    "cors.allow_origins",
                    given=repr(origin),
                    allowed="* or a scheme and a host of up to 253 characters",
                    hint="write it like https://shop.example, without a path or a slash at its end",
                )


@rule(
    "cors-credentials",
    Severity.WARNING,
    "CORS that sends cookies along names its origins.",
    link="https://developer.mozilla.org/en-US/docs/Web/HTTP/Guides/CORS/Errors/CORSNotSupportingCredentials",
)
def cors_credentials(view: View) -> Iterable[Finding]:
    """Browsers refuse `*` together with credentials."""
    for node in view.of("lambda.url"):
        cors = _inside(node, "cors")
        if cors.get("allow_credentials") is True and "*" in cors.get("allow_origins", []):
            yield Finding(
                node,
                "browsers refuse cookies where every origin is allowed",
                "cors.allow_credentials",
                given="allow_origins is *",
                hint="name the origins",
            )


@rule(
    "url-stream", Severity.WARNING, "A function that streams its response runs on a runtime that can.", link=STREAMING
)
def url_stream(view: View) -> Iterable[Finding]:
    """Node.js can by itself, a custom runtime may; for the others the answer comes as a whole."""
    for node in view.of("lambda.url"):
        function = view.function_of(node.props.get("function"))
        runtime = RUNTIMES.get(runtime_of(function) or "") if function is not None else None
        streams = node.props.get("stream") is True
        if streams and runtime is not None and runtime.language not in (Language.NODE, Language.CUSTOM):
            yield Finding(
                node,
                f"{runtime.language.value} cannot stream responses by itself, so the answer comes as a whole",
                "stream",
                given=runtime.name,
                hint="take stream out, or use a web adapter",
            )


@rule(
    "chain-timeout",
    Severity.NOTE,
    "A function that invokes another one may run as long as that one.",
    link="https://docs.aws.amazon.com/lambda/latest/dg/invocation-sync.html",
)
def chain_timeout(view: View) -> Iterable[Finding]:
    """Whoever waits for an answer is charged for waiting, and ends first when its own time is shorter."""
    for node in view.functions:
        timeout = node.props.get("timeout", TIMEOUT)
        for grant in grants_of(node):
            address = view.address_of(grant.target) if grant.verb == "invoke" else None
            other = view.function_of({"@ref": [address, "arn"]}) if address is not None else None
            theirs = other.props.get("timeout", TIMEOUT) if other is not None else None
            if other is not None and isinstance(timeout, int) and isinstance(theirs, int) and theirs > timeout:
                yield Finding(
                    node,
                    f"is shorter than that of {other.name}, so it may end while it waits for the answer",
                    "timeout",
                    given=f"{timeout:,} s",
                    allowed=f"at least {theirs:,} s, when it waits",
                    hint="raise it, or invoke asynchronously",
                )


RULES = (
    log_levels,
    vpc_ids,
    file_system_network,
    runtime_management,
    cors_methods,
    cors_origins,
    cors_credentials,
    url_stream,
    chain_timeout,
)
