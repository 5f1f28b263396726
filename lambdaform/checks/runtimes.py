"""Runtimes: known, still taken by AWS, fitting the handler, the code and the processor."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from lambdaform.checks.rules import Finding, rule
from lambdaform.model.code import PythonCode
from lambdaform.model.problem import Severity
from lambdaform.model.runtimes import (
    DEFAULT,
    ENDED,
    HANDLER_FORM,
    HANDLER_PAGE,
    PAGE,
    RUNTIMES,
    Language,
    Runtime,
    current,
)

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

SNAP_START = "https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html"
SOON = datetime.timedelta(days=60)
"""How long before a runtime's end it is spoken of; AWS writes its own notices 180 days before."""


def runtime_of(node: Node) -> str | None:
    """The runtime a function or layer names; None when it is known only after deploy."""
    name = node.props.get("runtime", DEFAULT)
    return name if isinstance(name, str) else None


def _known(view: View) -> Iterable[tuple[Node, Runtime]]:
    for node in view.of("lambda.function", "lambda.layer"):
        runtime = RUNTIMES.get(runtime_of(node) or "")
        if runtime is not None:
            yield node, runtime


@lru_cache(maxsize=32)
def _newer(runtime: Runtime, today: datetime.date) -> str:
    """The runtimes of the same language that outlive this one."""
    names = [
        name
        for name in current(today)
        if RUNTIMES[name].language is runtime.language
        and RUNTIMES[name].deprecated is not None  # without a date it may still be a preview
        and cast(datetime.date, RUNTIMES[name].deprecated) > today
    ]
    return f"move to {names[0]}" if names else "move to another runtime"


@rule("runtime-unknown", Severity.ERROR, "A runtime is one that AWS has.", link=PAGE)
def unknown(view: View) -> Iterable[Finding]:
    """Names that are in no list, with the nearest one that can be used today."""
    today = view.facts.today
    names = current(today)
    for node in view.of("lambda.function", "lambda.layer"):
        name = runtime_of(node)
        if name is None or name in RUNTIMES or name == "custom" or name.startswith("arn:"):
            continue
        import difflib  # only mistakes need it

        # To move to, one that lives on; without a date it may still be a preview.
        lasting = [each for each in names if (end := RUNTIMES[each].deprecated) is not None and end > today]
        near = difflib.get_close_matches(name, lasting if name in ENDED else names, n=1)
        advice = "move to {}" if name in ENDED else "did you mean {}?"
        yield Finding(
            node,
            "is a runtime that AWS has ended" if name in ENDED else "is not a runtime of Lambda",
            "runtime",
            given=name,
            allowed=", ".join(names),
            hint=advice.format(near[0]) if near else "use one of these",
        )


@rule(
    "runtime-blocked",
    Severity.ERROR,
    "AWS still creates and updates functions of a runtime.",
    link=PAGE,
    advisory=True,  # AWS moves these dates now and then
)
def blocked(view: View) -> Iterable[Finding]:
    """By the day handed in; a function that is deployed already can be changed for some weeks longer."""
    today = view.facts.today
    for node, runtime in _known(view):
        if node.kind != "lambda.function" or runtime.create_blocked is None or today < runtime.create_blocked:
            continue  # updates are never blocked before creates are
        exists = node.address in view.facts.deployed
        end = runtime.update_blocked if exists else runtime.create_blocked
        if end is not None and today >= end:
            yield Finding(
                node,
                f"AWS {'changes' if exists else 'creates'} no functions of this runtime since {end.isoformat()}",
                "runtime",
                given=runtime.name,
                hint=_newer(runtime, today),
            )


@rule("runtime-deprecated", Severity.WARNING, "A runtime still gets security updates.", link=PAGE)
def deprecated(view: View) -> Iterable[Finding]:
    """Past its date, or in the last weeks before."""
    today = view.facts.today
    for node, runtime in _known(view):
        end = runtime.deprecated
        if end is None or today < end - SOON or node.kind != "lambda.function":
            continue
        blocked = runtime.update_blocked if node.address in view.facts.deployed else runtime.create_blocked
        if blocked is not None and today >= blocked:
            continue  # told as an error already
        past = today >= end
        until = f"; AWS takes it until {blocked.isoformat()}" if blocked is not None else ""
        yield Finding(
            node,
            f"{'gets no security updates since' if past else 'gets its last security updates on'} {end.isoformat()}"
            f"{until}",
            "runtime",
            given=runtime.name,
            hint=_newer(runtime, today),
        )


@rule(
    "handler-form",
    Severity.ERROR,
    "A handler has the form of its runtime's language.",
    link=HANDLER_PAGE[Language.PYTHON],
    advisory=True,  # AWS takes any text without spaces and fails only when it runs
)
def handler_form(view: View) -> Iterable[Finding]:
    """The form alone; whether the code has it is another rule."""
    for node, runtime in _known(view):
        handler = node.props.get("handler")
        if not isinstance(handler, str) or re.search(r"\s", handler) or not handler:
            continue  # the limits speak of these
        regex, form, example = HANDLER_FORM[runtime.language]
        if re.fullmatch(regex, handler) is None:
            yield Finding(
                node,
                f"is not a handler of {runtime.language.value}",
                "handler",
                given=repr(handler),
                allowed=form,
                hint=f"write it like {example}",
                link=HANDLER_PAGE[runtime.language],
            )


@rule(
    "code-runtime", Severity.ERROR, "Python code runs on a Python runtime.", link=PAGE, advisory=True
)  # a custom runtime may well bring a Python
def code_runtime(view: View) -> Iterable[Finding]:
    """`PythonCode` for another language: its wheels would be for no Python at all."""
    for node, runtime in _known(view):
        if node.build is not None and isinstance(node.build.code, PythonCode) and runtime.language != Language.PYTHON:
            yield Finding(
                node,
                "the code is Python and the runtime is not",
                "runtime",
                given=runtime.name,
                allowed=", ".join(n for n in current(view.facts.today) if RUNTIMES[n].language is Language.PYTHON),
                hint="name a Python runtime, or give the files as Code(...)",
            )


@rule("runtime-architecture", Severity.ERROR, "A runtime runs on the processor asked for.", link=PAGE)
def architecture(view: View) -> Iterable[Finding]:
    """Runtimes on Amazon Linux 1 are for x86_64 only."""
    for node, runtime in _known(view):
        if runtime.amazon_linux == 1 and node.props.get("architecture") == "arm64":
            yield Finding(
                node,
                f"{runtime.name} does not run on this processor",
                "architecture",
                given="arm64",
                allowed="x86_64",
                hint="use x86_64, or a newer runtime",
            )


@rule("snap-start", Severity.ERROR, "SnapStart is used with what it works with.", link=SNAP_START)
def snap_start(view: View) -> Iterable[Finding]:
    """Runtime, provisioned concurrency, file system and /tmp."""
    provisioned = {f.address for n in view.of("lambda.provisioned_concurrency") for f in view.functions_in(n.props)}
    for node, runtime in _known(view):
        if node.props.get("snap_start") is not True:
            continue
        if not runtime.snap_start:
            allowed = ", ".join(n for n in current(view.facts.today) if RUNTIMES[n].snap_start)
            yield _snap(node, "this runtime has no SnapStart", runtime.name, allowed, "change the runtime")
        if node.address in provisioned:
            yield _snap(
                node, "SnapStart and provisioned concurrency exclude each other", None, None, "keep one of the two"
            )
        if node.props.get("file_system") is not None:
            yield _snap(node, "SnapStart does not work with a file system", None, None, "keep one of the two")
        storage = node.props.get("ephemeral_storage", 512)
        if isinstance(storage, int) and storage > 512:
            yield _snap(
                node, "SnapStart needs a small /tmp", f"{storage:,} MB", "512 MB", "lower ephemeral_storage to 512"
            )


def _snap(node: Node, what: str, given: str | None, allowed: str | None, hint: str) -> Finding:
    return Finding(node, what, "snap_start", given=given, allowed=allowed, hint=f"{hint}, or take snap_start out")


@rule("snap-start-unused", Severity.WARNING, "A function with SnapStart has published versions.", link=SNAP_START)
def snap_start_unused(view: View) -> Iterable[Finding]:
    """`$LATEST` never starts from a snapshot."""
    published = {f.address for n in view.of("lambda.version") for f in view.functions_in(n.props)}
    for node in view.functions:
        if node.props.get("snap_start") is True and node.address not in published:
            yield Finding(
                node,
                "only published versions start from a snapshot, and the function has none",
                "snap_start",
                hint='add alias="live", so that every change publishes a version',
            )


RULES = (
    unknown,
    blocked,
    deprecated,
    handler_form,
    code_runtime,
    architecture,
    snap_start,
    snap_start_unused,
)
