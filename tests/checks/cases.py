"""For every rule about functions: declarations that break it, and declarations that come close and do not.

The rules about what feeds them are in `event_cases`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from lambdaform.model.code import Code, PythonCode
from lambdaform.model.output import by_stage
from lambdaform.model.resource import Grant, Resource
from lambdaform.resources.iam_role import Role
from lambdaform.resources.lambda_function import (
    FileSystem,
    Logging,
    Provisioned,
    Reserved,
    RuntimeManagement,
    Vpc,
)
from lambdaform.resources.lambda_layer import Layer
from lambdaform.resources.lambda_permission import Permission
from lambdaform.resources.lambda_url import Cors, FunctionUrl
from lambdaform.resources.sqs_queue import DeadLetter, Queue
from tests.checks.declarations import ACCOUNT, HERE, function, package

Declaration = Mapping[str, Resource]


@attrs.frozen
class Case:
    """One way to break a rule, and a near miss."""

    rule: str
    what: str
    broken: Callable[[], Declaration]
    near: Callable[[], Declaration]
    facts: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    near_facts: Mapping[str, Any] | None = None
    """Where the near miss is one of facts."""


def one(handler: str = "app.handler", **settings: Any) -> Callable[[], Declaration]:
    """A stack of one function."""
    return lambda: {"worker": function(handler, **settings)}


def fed(queue: Queue, *, timeout: int = 3, **settings: Any) -> Declaration:
    """A function that reads a queue."""
    return {"inbox": queue, "worker": function(timeout=timeout, triggers=[queue.messages(**settings)])}


def read_with_receives(receives: int) -> Declaration:
    dead = Queue()
    return {"dead": dead, **fed(Queue(dead_letter=DeadLetter(dead, max_receives=receives)))}


def provisioned(executions: int, reserved: int) -> Callable[[], Declaration]:
    return one(alias="live", concurrency=Provisioned(executions, reserved))


def layered(function_settings: Mapping[str, Any], **settings: Any) -> Declaration:
    layer = Layer(PythonCode("lib"), **settings)
    return {"deps": layer, "worker": function(layers=[layer], **function_settings)}


def two_functions(first: str, second: str) -> Declaration:
    return {"first": function(name=first), "second": function(name=second)}


def permitted(**settings: Any) -> Declaration:
    worker = function()
    return {"worker": worker, "door": Permission(function=worker.arn, **settings)}


def url(**settings: Any) -> Callable[[], Declaration]:
    return one(function_url=FunctionUrl(**settings))


def existing_layer(region: str, name: str = "deps", version: str = ":3") -> str:
    return f"arn:aws:lambda:{region}:{ACCOUNT}:layer:{name}{version}"


def granted(number: int) -> Declaration:
    """A function with many rights of its own."""
    grants = [Grant((f"sqs:{'x' * 20}",), (f"arn:aws:sqs:{HERE}:q{each}",)) for each in range(number)]
    return {"worker": function(grants=grants)}


def doors(number: int) -> Declaration:
    """A function with many permissions."""
    worker = function()
    permissions = {
        f"door{each}": Permission(
            function=worker.arn, principal="events.amazonaws.com", source_arn=f"arn:a:e:r:a:{each}"
        )
        for each in range(number)
    }
    return {"worker": worker, **permissions}


def chained(first: int, second: int) -> Declaration:
    """A function that invokes another one."""
    other = function(timeout=second)
    return {"other": other, "worker": function(timeout=first, uses={"OTHER": other.invoke()})}


NETWORK = Vpc(subnets=["subnet-1a"], security_groups=["sg-1a"])
FILES = FileSystem(access_point=f"arn:aws:elasticfilesystem:{HERE}:access-point/fsap-1", path="/mnt/a")
MEGABYTE = 1_048_576

CASES = (
    # limits: each kind of mark, on props, inside values, in shorthand, by stage
    Case("limits", "range of a prop", one(memory=64), one(memory=128)),
    Case("limits", "range, upper end", one(timeout=901), one(timeout=900)),
    Case("limits", "length of a text", one(description="x" * 257), one(description="x" * 256)),
    Case(
        "limits",
        "length of a list",
        one(layers=[existing_layer(HERE[:12], f"l{i}") for i in range(6)]),
        one(layers=[existing_layer(HERE[:12], f"l{i}") for i in range(5)]),
    ),
    Case("limits", "pattern of a name", one(name="a b"), one(name="a-b")),
    Case("limits", "choice", one(architecture="arm"), one(architecture="arm64")),
    Case("limits", "inside a value", one(vpc=Vpc(subnets=[], security_groups=["sg-1"])), one(vpc=NETWORK)),
    Case("limits", "inside shorthand", one(concurrency=Reserved(-1)), one(concurrency=Reserved(1))),
    Case("limits", "shorthand itself", one(alias="2024"), one(alias="v2024")),
    Case("limits", "one stage", one(memory=by_stage(128, dev=64)), one(memory=by_stage(128, prod=64))),
    Case("limits", "a nested value in a URL", url(cors=Cors(max_age=86_401)), url(cors=Cors(max_age=86_400))),
    Case(
        "limits",
        "what a trigger makes",
        lambda: fed(Queue(), max_concurrency=1),
        lambda: fed(Queue(), max_concurrency=2),
    ),
    Case("limits", "a dead letter's receives", lambda: read_with_receives(0), lambda: read_with_receives(1)),
    Case("limits", "retention that CloudWatch has", one(log_retention=2), one(log_retention=3)),
    # runtimes
    Case("runtime-unknown", "misspelt", one(runtime="pyton3.13"), one(runtime="python3.13")),
    Case("runtime-unknown", "ended long ago", one(runtime="python3.6"), one(runtime="python3.13")),
    Case("runtime-blocked", "creating", one(runtime="python3.9"), one(runtime="python3.12")),
    Case(
        "runtime-blocked",
        "dotnet8 on its day",
        one("A", runtime="dotnet8"),
        one("A", runtime="dotnet8"),
        {"today": datetime.date(2026, 12, 10)},
        {},
    ),
    Case("runtime-deprecated", "past its date", one("A", runtime="dotnet8"), one("A", runtime="dotnet10")),
    Case("handler-form", "Python without module", one("handler"), one("app.handler")),
    Case("handler-form", "Java method", one("a.B:c", runtime="java21"), one("a.B::c", runtime="java21")),
    Case(
        "code-runtime",
        "Python on Node.js",
        one(code=PythonCode("src"), runtime="nodejs22.x"),
        one(code=Code("src"), runtime="nodejs22.x"),
    ),
    Case(
        "runtime-architecture",
        "Amazon Linux 1",
        one(runtime="python3.7", architecture="arm64"),
        one(runtime="python3.8", architecture="arm64"),
    ),
    Case(
        "snap-start",
        "runtime",
        one("i.handler", runtime="nodejs22.x", snap_start=True, alias="live"),
        one(snap_start=True, alias="live"),
    ),
    Case(
        "snap-start",
        "with provisioned concurrency",
        one(snap_start=True, alias="live", concurrency=Provisioned(1)),
        one(snap_start=True, alias="live"),
    ),
    Case(
        "snap-start",
        "with a file system",
        one(snap_start=True, alias="live", file_system=FILES, vpc=NETWORK),
        one(snap_start=True, alias="live", vpc=NETWORK),
    ),
    Case(
        "snap-start",
        "with a large /tmp",
        one(snap_start=True, alias="live", ephemeral_storage=513),
        one(snap_start=True, alias="live", ephemeral_storage=512),
    ),
    Case("snap-start-unused", "no version", one(snap_start=True), one(snap_start=True, alias="live")),
    # environment: {"NAME":"..."} is 11 characters around the value
    Case(
        "environment-size",
        "one byte over",
        one(environment={"NAME": "x" * 4086}),
        one(environment={"NAME": "x" * 4085}),
    ),
    Case(
        "environment-size",
        "quotes are escaped",
        one(environment={"NAME": '"' * 2043}),
        one(environment={"NAME": '"' * 2042}),
    ),
    Case(
        "environment-reserved",
        "Lambda's own",
        one(environment={"AWS_REGION": "x"}),
        one(environment={"AWS_REGION2": "x"}),
    ),
    Case("environment-name", "one letter", one(environment={"A": "x"}), one(environment={"AB": "x"})),
    Case("environment-name", "an underscore first", one(environment={"_AB": "x"}), one(environment={"A_B": "x"})),
    # packages
    Case(
        "package-unzipped",
        "with its layer",
        lambda: layered({}),
        lambda: layered({}),
        {"packages": {"lambda.function.worker": package(200 * MEGABYTE), "lambda.layer.deps": package(51 * MEGABYTE)}},
        {"packages": {"lambda.function.worker": package(200 * MEGABYTE), "lambda.layer.deps": package(50 * MEGABYTE)}},
    ),
    Case(
        "package-layer",
        "alone",
        lambda: layered({}),
        lambda: layered({}),
        {"packages": {"lambda.layer.deps": package(251 * MEGABYTE)}},
        {"packages": {"lambda.layer.deps": package(250 * MEGABYTE)}},
    ),
    Case(
        "package-empty",
        "no files",
        one(),
        one(),
        {"packages": {"lambda.function.worker": attrs.evolve(package(), files=())}},
        {"packages": {"lambda.function.worker": package()}},
    ),
    # concurrency
    Case("provisioned-above-reserved", "more", provisioned(3, 2), provisioned(2, 2)),
    Case("reserved-floor", "of the default account", one(concurrency=Reserved(901)), one(concurrency=Reserved(900))),
    Case(
        "reserved-floor",
        "of a larger account",
        one(concurrency=Reserved(4_901)),
        one(concurrency=Reserved(4_900)),
        {"account_concurrency": 5_000},
    ),
    Case("reserved-zero", "switched off", one(concurrency=Reserved(0)), one(concurrency=Reserved(1))),
    Case(
        "mapping-above-reserved",
        "more",
        lambda: {"q": (q := Queue()), "w": function(concurrency=Reserved(4), triggers=[q.messages(max_concurrency=5)])},
        lambda: {"q": (q := Queue()), "w": function(concurrency=Reserved(5), triggers=[q.messages(max_concurrency=5)])},
    ),
    # names
    Case("name-taken", "two functions", lambda: two_functions("a", "a"), lambda: two_functions("a", "b")),
    Case(
        "name-taken",
        "roles that differ in case",
        lambda: {"a": Role(name="Shop"), "b": Role(name="shop")},
        lambda: {"a": Queue(name="Shop"), "b": Queue(name="shop")},
    ),
    Case(
        "tags",
        "48 besides our three",
        one(tags={f"t{n}": "x" for n in range(48)}),
        one(tags={f"t{n}": "x" for n in range(47)}),
    ),
    Case("tags", "a long value", one(tags={"team": "x" * 257}), one(tags={"team": "x" * 256})),
    Case("tags", "AWS's own prefix", one(tags={"aws:team": "x"}), one(tags={"awsteam": "x"})),
    Case(
        "region-unknown",
        "a slip",
        one(),
        one(),
        {"region": "eu-central-9", "regions": {"eu-central-1"}},
        {"region": "eu-central-1", "regions": {"eu-central-1"}},
    ),
    Case("region-form", "a zone", one(), one(), {"region": "eu-central-1a"}, {"region": "us-gov-west-1"}),
    Case("account-form", "a zero lost", one(), one(), {"account": "12345678901"}, {"account": "012345678901"}),
    Case("role-arn", "a name", one(role="worker"), one(role=f"arn:aws:iam::{ACCOUNT}:role/team/worker")),
    # extensions
    Case(
        "extension-not-executable",
        "without its mode",
        lambda: layered({}),
        lambda: layered({}),
        {"packages": {"lambda.layer.deps": package(10, "extensions/collector")}},
        {"packages": {"lambda.layer.deps": package(10, "extensions/collector/settings.json")}},
    ),
    Case(
        "extension-count",
        "in one layer",
        lambda: layered({}),
        lambda: layered({}),
        {"packages": {"lambda.layer.deps": package(10, *(f"extensions/{n}" for n in range(11)), executable=True)}},
        {"packages": {"lambda.layer.deps": package(10, *(f"extensions/{n}" for n in range(10)), executable=True)}},
    ),
    # layers
    Case(
        "layer-arn",
        "no version",
        one(layers=[existing_layer("eu-central-1", version="")]),
        one(layers=[existing_layer("eu-central-1")]),
    ),
    Case(
        "layer-twice",
        "two versions",
        one(layers=[existing_layer("eu-central-1"), existing_layer("eu-central-1", version=":4")]),
        one(layers=[existing_layer("eu-central-1"), existing_layer("eu-central-1", "other")]),
    ),
    Case(
        "layer-region",
        "another",
        one(layers=[existing_layer("us-west-2")]),
        one(layers=[existing_layer("eu-central-1")]),
    ),
    Case(
        "layer-runtime",
        "another Python",
        lambda: layered({"runtime": "python3.12"}),
        lambda: layered({"runtime": "python3.13"}),
    ),
    Case(
        "layer-architecture",
        "another processor",
        lambda: layered({"architecture": "arm64"}),
        lambda: layered({"architecture": "arm64"}, architecture="arm64"),
    ),
    # settings of one function
    Case(
        "log-levels",
        "text",
        one(logging=Logging(application_level="INFO")),
        one(logging=Logging(format="JSON", application_level="INFO")),
    ),
    Case("vpc-ids", "a name", one(vpc=Vpc(subnets=["private"], security_groups=["sg-1"])), one(vpc=NETWORK)),
    Case("file-system-network", "no network", one(file_system=FILES), one(file_system=FILES, vpc=NETWORK)),
    Case(
        "runtime-management",
        "no version",
        one(runtime_management=RuntimeManagement(update_on="Manual")),
        one(runtime_management=RuntimeManagement(update_on="FunctionUpdate")),
    ),
    Case(
        "cors-methods", "OPTIONS", url(cors=Cors(allow_methods=["OPTIONS"])), url(cors=Cors(allow_methods=["DELETE"]))
    ),
    Case(
        "cors-origins",
        "a slash at the end",
        url(cors=Cors(allow_origins=["https://a.example/"])),
        url(cors=Cors(allow_origins=["https://a.example:8443", "*"])),
    ),
    Case(
        "cors-credentials",
        "everybody",
        url(cors=Cors(allow_credentials=True, allow_origins=["*"])),
        url(cors=Cors(allow_credentials=True, allow_origins=["https://a.example"])),
    ),
    Case(
        "url-stream",
        "Python",
        url(stream=True),
        one("i.handler", runtime="nodejs22.x", function_url=FunctionUrl(stream=True)),
    ),
    Case(
        "permission-open",
        "no source",
        lambda: permitted(principal="events.amazonaws.com"),
        lambda: permitted(principal="events.amazonaws.com", source_arn=f"arn:aws:events:{HERE}:rule/r"),
    ),
    Case(
        "permission-open",
        "a bucket without account",
        lambda: permitted(principal="s3.amazonaws.com", source_arn="arn:aws:s3:::b"),
        lambda: permitted(principal="s3.amazonaws.com", source_arn="arn:aws:s3:::b", source_account=ACCOUNT),
    ),
    # policies
    Case("role-policy-size", "many rights", lambda: granted(190), lambda: granted(5)),
    Case("function-policy-size", "many doors", lambda: doors(82), lambda: doors(81)),
    Case("chain-timeout", "shorter", lambda: chained(3, 4), lambda: chained(4, 4)),
)
