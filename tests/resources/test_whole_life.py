"""Every kind made, read, changed, found, removed, and removed once more, against a server that plays AWS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from lambdaform.aws.session import AwsSession
from lambdaform.model.code import Code, Package
from lambdaform.model.driver import ADDRESS_TAG
from lambdaform.model.resource import Resource
from lambdaform.resources import catalog
from lambdaform.resources.dynamodb_table import Capacity, GlobalIndex, Key, Table
from lambdaform.resources.events_bus import EventBus
from lambdaform.resources.events_rule import EventRule, RuleTarget
from lambdaform.resources.iam_role import Role
from lambdaform.resources.iam_role_policy import RolePolicy
from lambdaform.resources.kinesis_stream import Stream
from lambdaform.resources.lambda_alias import Alias
from lambdaform.resources.lambda_event_invoke_config import EventInvokeConfig
from lambdaform.resources.lambda_event_source_mapping import EventSourceMapping
from lambdaform.resources.lambda_function import Function
from lambdaform.resources.lambda_layer import Layer
from lambdaform.resources.lambda_permission import Permission
from lambdaform.resources.lambda_url import Cors, FunctionUrl
from lambdaform.resources.lambda_version import Version
from lambdaform.resources.logs_group import LogGroup
from lambdaform.resources.logs_subscription_filter import SubscriptionFilter
from lambdaform.resources.s3_bucket import Bucket, BucketCors, Expire
from lambdaform.resources.s3_notification import BucketNotification
from lambdaform.resources.scheduler_schedule import ScheduledCall
from lambdaform.resources.sns_subscription import Subscription
from lambdaform.resources.sns_topic import Topic
from lambdaform.resources.sqs_queue import DeadLetter, Queue
from lambdaform.resources.sqs_queue_policy import QueuePermission
from tests.fakes.desired import changes, desired, package, record


@attrs.define
class World:
    """What the kind under test needs to exist, made with lambdaform's own drivers."""

    aws: AwsSession
    folder: Path

    def make(self, resource: Resource, name: str, *, archive: Package | None = None) -> dict[str, Any]:
        """Its outputs."""
        wanted = desired(resource, name, package=archive)
        return dict(catalog.driver_of(resource.kind).create(self.aws, wanted))

    def role(self) -> str:
        return str(self.make(Role(assumed_by=["lambda.amazonaws.com"]), "runner")["arn"])

    def function(self) -> str:
        resource = Function("app.handler", Code("."), role=self.role())
        return str(self.make(resource, "worker", archive=package(self.folder))["arn"])

    def version(self) -> tuple[str, str]:
        arn = self.function()
        name = arn.split(":")[6]
        return name, str(self.make(Version(function=name), "version")["version"])

    def queue(self, name: str = "inbox") -> str:
        return str(self.make(Queue(), name)["arn"])

    def topic(self) -> str:
        return str(self.make(Topic(), "news")["arn"])

    def group(self) -> str:
        return str(self.make(LogGroup(), "lines")["group_name"])

    def bucket(self) -> str:
        return str(self.make(Bucket(), "files")["bucket_name"])


@attrs.frozen
class Case:
    """One kind: as it is first declared, and as it is declared later, from the same prerequisites."""

    kind: str
    make: Callable[[World], list[Resource]]
    label: str = ""
    carries_code: bool = False


def case(kind: str, make: Callable[[World], list[Resource]], label: str = "", *, carries_code: bool = False) -> Any:
    return pytest.param(Case(kind, make, label, carries_code), id=f"{kind} {label}".strip())


def function(world: World) -> list[Resource]:
    role = world.role()
    return [
        Function("app.handler", Code("."), role=role, tags={"team": "a"}),
        Function("app.handler", Code("."), role=role, memory=512, timeout="1 min", tags={"team": "b"}),
    ]


def url(world: World) -> list[Resource]:
    arn = world.function()
    return [
        FunctionUrl(function=arn, auth="NONE", cors=Cors(allow_origins=["https://a.example"])),
        FunctionUrl(function=arn, auth="AWS_IAM", stream=True),
    ]


def permission(world: World) -> list[Resource]:
    arn = world.function()
    return [
        Permission(function=arn, principal="s3.amazonaws.com", source_arn="arn:aws:s3:::files"),
        Permission(
            function=arn, principal="s3.amazonaws.com", source_arn="arn:aws:s3:::files", source_account="123456789012"
        ),
    ]


def invoke_config(world: World) -> list[Resource]:
    arn, queue = world.function(), world.queue()
    return [
        EventInvokeConfig(function=arn, max_retries=0, on_failure=queue),
        EventInvokeConfig(function=arn, max_retries=1, max_event_age="1 h"),
    ]


def mapping(world: World) -> list[Resource]:
    arn, queue = world.function(), world.queue()
    return [
        EventSourceMapping(function=arn, source=queue, batch_size=5),
        EventSourceMapping(function=arn, source=queue, batch_size=7),
    ]


def provisioned_mapping(world: World) -> list[Resource]:
    arn, queue = world.function(), world.queue()
    return [
        EventSourceMapping(function=arn, source=queue, min_pollers=2, metrics=True),
        EventSourceMapping(function=arn, source=queue, min_pollers=3, max_pollers=9),
    ]


def version(world: World) -> list[Resource]:
    name = world.function().split(":")[6]
    return [Version(function=name, revision="1"), Version(function=name, revision="2", description="second")]


def alias(world: World) -> list[Resource]:
    name, number = world.version()
    return [
        Alias(function=name, version=number, name="live"),
        Alias(function=name, version=number, name="live", description="what users get"),
    ]


def layer(world: World) -> list[Resource]:
    return [Layer(Code(".")), Layer(Code("."), description="shared")]


def role_policy(world: World) -> list[Resource]:
    name = world.role().rpartition("/")[2]
    return [
        RolePolicy(role=name, statements=[{"Effect": "Allow", "Action": [action], "Resource": ["arn:aws:sqs:::x"]}])
        for action in ("sqs:SendMessage", "sqs:ReceiveMessage")
    ]


def queue(world: World) -> list[Resource]:
    dead = world.queue("dead")
    return [
        Queue(visibility_timeout=60, dead_letter=DeadLetter(dead, max_receives=5), tags={"team": "a"}),
        Queue(visibility_timeout=90, tags={"team": "b", "tier": "1"}),
    ]


def queue_permission(world: World) -> list[Resource]:
    arn = world.queue()
    return [
        QueuePermission(queue=arn, principal="sns.amazonaws.com", source_arn=f"arn:aws:sns:eu-central-1:1:{topic}")
        for topic in ("a", "b")
    ]


def subscription(world: World) -> list[Resource]:
    topic, endpoint = world.topic(), world.queue()
    return [
        Subscription(topic=topic, endpoint=endpoint, filter={"kind": ["order"]}),
        Subscription(topic=topic, endpoint=endpoint, filter={"kind": ["refund"]}, filter_on="body", raw=True),
    ]


def subscription_filter(world: World) -> list[Resource]:
    group, arn = world.group(), world.function()
    return [SubscriptionFilter(group=group, to=arn, pattern=pattern) for pattern in ("ERROR", "WARN")]


def table(world: World) -> list[Resource]:
    index = GlobalIndex("by-total", partition_key="shop", sort_key=Key("total", "N"))
    return [
        Table(partition_key="id", ttl="expires", stream="NEW_IMAGE", tags={"team": "a"}),
        Table(partition_key="id", stream="NEW_IMAGE", indexes=[index], point_in_time_recovery=True),
    ]


def provisioned_table(world: World) -> list[Resource]:
    return [
        Table(partition_key="id", sort_key=Key("at", "N"), capacity=Capacity(5, 5)),
        Table(partition_key="id", sort_key=Key("at", "N"), capacity=Capacity(10, 5), deletion_protection=False),
    ]


def stream(world: World) -> list[Resource]:
    return [Stream(shards=1, tags={"team": "a"}), Stream(shards=3, retention="2 days", tags={"team": "b"})]


def bucket(world: World) -> list[Resource]:
    return [
        Bucket(versioning=True, expire=[Expire(after="30 days", prefix="tmp/")], tags={"team": "a"}),
        Bucket(
            encryption="aws:kms",
            block_public_access=False,
            cors=[BucketCors(allow_origins=["*"], allow_methods=["GET"])],
            tags={"team": "b"},
        ),
    ]


def notification(world: World) -> list[Resource]:
    arn, name = world.function(), world.bucket()
    allowed = Permission(function=arn, principal="s3.amazonaws.com", source_arn=f"arn:aws:s3:::{name}")
    world.make(allowed, "allowed")
    return [
        BucketNotification(bucket=name, target=arn),
        BucketNotification(bucket=name, target=arn, events=["s3:ObjectRemoved:*"], prefix="in/", suffix=".csv"),
    ]


def rule(world: World) -> list[Resource]:
    arn, dead = world.function(), world.queue()
    return [
        EventRule(pattern={"source": ["shop"]}, targets=[arn], tags={"team": "a"}),
        EventRule(
            pattern={"source": ["shop", "web"]},
            targets=[RuleTarget(dead, input={"a": 1}, max_retries=3)],
            enabled=False,
            tags={"team": "b"},
        ),
    ]


def rule_on_bus(world: World) -> list[Resource]:
    bus, arn = world.make(EventBus(), "shop")["bus_name"], world.function()
    return [EventRule(pattern={"source": [source]}, bus=bus, targets=[arn]) for source in ("shop", "web")]


def schedule(world: World) -> list[Resource]:
    arn = world.function()
    role = "arn:aws:iam::123456789012:role/clock"
    return [
        ScheduledCall(expression="rate(5 minutes)", target=arn, role=role),
        ScheduledCall(
            expression="cron(0 3 * * ? *)", timezone="Europe/Berlin", target=arn, role=role, input={"a": 1}, flexible=5
        ),
    ]


CASES = [
    case("dynamodb.table", table),
    case("dynamodb.table", provisioned_table, "with capacity"),
    case("events.bus", lambda world: [EventBus(tags={"team": team}) for team in ("a", "b")]),
    case("events.rule", rule),
    case("events.rule", rule_on_bus, "on a bus of its own"),
    case("iam.role", lambda world: [Role(tags={"team": "a"}), Role(description="runs", tags={"team": "b"})]),
    case("iam.role_policy", role_policy),
    case("kinesis.stream", stream),
    case("lambda.alias", alias),
    case("lambda.event_invoke_config", invoke_config),
    case("lambda.event_source_mapping", mapping),
    case("lambda.event_source_mapping", provisioned_mapping, "with pollers"),
    case("lambda.function", function, carries_code=True),
    case("lambda.layer", layer, carries_code=True),
    case("lambda.permission", permission),
    case("lambda.url", url),
    case("lambda.version", version),
    case("logs.group", lambda world: [LogGroup(retention="7 days"), LogGroup(retention="14 days", tags={"a": "b"})]),
    case("logs.subscription_filter", subscription_filter),
    case("s3.bucket", bucket),
    case("s3.notification", notification),
    case("scheduler.schedule", schedule),
    case("sns.subscription", subscription),
    case("sns.topic", lambda world: [Topic(display_name="News", tags={"team": "a"}), Topic(tags={"team": "b"})]),
    case("sqs.queue", queue),
    case("sqs.queue_policy", queue_permission),
]

# moto knows neither provisioned concurrency nor recursion settings; their drivers are tested with a fake.
ELSEWHERE = {"lambda.provisioned_concurrency"}
# moto takes one statement id twice, where AWS refuses the second.
TWICE = {"lambda.permission"}
# Making the same again is no conflict for these: AWS overwrites, or makes another one, and `find` may see nothing.
WITHOUT_CONFLICT = {"iam.role_policy", "lambda.version"}


@pytest.mark.parametrize("case", CASES)
def test_a_kind_lives_from_create_to_delete(case: Case, aws: AwsSession, tmp_path: Path) -> None:
    driver = catalog.driver_of(case.kind)
    first, second = case.make(World(aws, tmp_path))
    archives = [package(tmp_path), package(tmp_path, "# changed\n")] if case.carries_code else [None, None]
    before, after = desired(first, package=archives[0]), desired(second, package=archives[1])

    outputs = driver.create(aws, before)
    made = record(before, outputs)
    assert driver.read(aws, made) == outputs
    documented = {name for name in vars(type(first)) if name in outputs}
    assert documented == set(outputs), "every output a driver gives is declared"

    found = driver.find(aws, before)
    if case.kind not in WITHOUT_CONFLICT:
        assert found is not None
        assert found.tags is None or found.tags.get(ADDRESS_TAG) == before.address

    changed = changes(before, after)
    assert changed, "a case that changes nothing proves nothing"
    outputs = driver.update(aws, after, made, changed)
    kept = record(after, outputs)
    assert driver.read(aws, kept) == outputs

    if case.kind not in TWICE:
        assert driver.update(aws, after, kept, changed) == outputs, "a change made twice is made once"

    driver.delete(aws, kept)
    assert driver.read(aws, kept) is None

    driver.delete(aws, kept)


def test_every_kind_has_a_whole_life() -> None:
    assert {each.values[0].kind for each in CASES} | ELSEWHERE == set(catalog.kinds())
