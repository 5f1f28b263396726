"""What shorthand comes to: exactly these addresses, edges and rights."""

from __future__ import annotations

from typing import Any

from lambdaform.model.code import Code, PythonCode
from lambdaform.model.graph import Graph, GraphBuilder
from lambdaform.model.output import by_stage
from lambdaform.model.resource import Resource
from lambdaform.resources.dynamodb_table import GlobalIndex, Table
from lambdaform.resources.events_bus import EventBus
from lambdaform.resources.events_rule import EventRule, RuleTarget
from lambdaform.resources.kinesis_stream import Stream
from lambdaform.resources.lambda_alias import Alias
from lambdaform.resources.lambda_function import Function, Provisioned
from lambdaform.resources.lambda_layer import Layer
from lambdaform.resources.lambda_permission import Permission
from lambdaform.resources.lambda_url import FunctionUrl
from lambdaform.resources.lambda_version import Version
from lambdaform.resources.logs_group import LogGroup
from lambdaform.resources.s3_bucket import Bucket
from lambdaform.resources.sns_topic import Topic
from lambdaform.resources.sqs_queue import Queue
from lambdaform.triggers.documentdb_stream import DocumentDbStream
from lambdaform.triggers.event_rule import Rule
from lambdaform.triggers.kafka_topic import KafkaTopic
from lambdaform.triggers.mq_queue import MqQueue
from lambdaform.triggers.msk_topic import MskTopic
from lambdaform.triggers.schedule import Schedule

OWN = {"lambda.function.worker", "iam.role.worker", "iam.role_policy.worker", "logs.group.worker"}
"""What every function comes to."""


def function(**settings: Any) -> Function:
    return Function("app.handler", Code("."), **settings)


def graph(**named: Resource) -> Graph:
    """The graph of these resources, in a stack without mistakes."""
    built = GraphBuilder("shop", "dev", "eu-central-1").build(named)
    assert [str(problem) for problem in built.problems] == []
    return built


def problems(**named: Resource) -> list[tuple[str, str]]:
    built = GraphBuilder("shop", "dev", "eu-central-1").build(named)
    return [(problem.rule, problem.address) for problem in built.problems]


def added(built: Graph, *declared: str) -> set[str]:
    """What a trigger or setting brought besides the function's own things and what was declared."""
    return set(built.nodes) - OWN - set(declared)


def rights(built: Graph, address: str = "iam.role_policy.worker") -> list[tuple[list[str], list[Any]]]:
    """Actions and resources of a role, without the ones for its log."""
    statements = built.nodes[address].props["statements"]
    return [
        (each["Action"], each["Resource"])
        for each in statements
        if not any(action.startswith("logs:") for action in each["Action"])
    ]


def ref(address: str, output: str = "arn") -> dict[str, list[str]]:
    return {"@ref": [address, output]}


def comes_after(built: Graph, later: str, earlier: str) -> bool:
    return earlier in built.nodes[later].needs


# -- triggers


def test_messages_of_a_queue_come_to_a_mapping_and_the_right_to_read() -> None:
    inbox = Queue()
    built = graph(inbox=inbox, worker=function(triggers=[inbox.messages()]))

    assert added(built, "sqs.queue.inbox") == {"lambda.event_source_mapping.worker.inbox"}
    assert rights(built) == [
        (["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"], [ref("sqs.queue.inbox")])
    ]
    assert comes_after(built, "lambda.event_source_mapping.worker.inbox", "iam.role_policy.worker")


def test_notifications_of_a_topic_come_to_a_subscription_after_its_permission() -> None:
    news = Topic()
    built = graph(news=news, worker=function(triggers=[news.notifications(filter={"kind": ["order"]})]))

    assert added(built, "sns.topic.news") == {"sns.subscription.worker.news", "lambda.permission.worker.news"}
    assert built.nodes["lambda.permission.worker.news"].props == {
        "function": ref("lambda.function.worker"),
        "principal": "sns.amazonaws.com",
        "source_arn": ref("sns.topic.news"),
    }
    assert built.nodes["sns.subscription.worker.news"].props == {
        "topic": ref("sns.topic.news"),
        "endpoint": ref("lambda.function.worker"),
        "protocol": "lambda",
        "filter": {"kind": ["order"]},
    }
    assert comes_after(built, "sns.subscription.worker.news", "lambda.permission.worker.news")
    assert rights(built) == []


def test_lines_of_a_log_group_come_to_a_filter_after_its_permission() -> None:
    errors = LogGroup()
    built = graph(errors=errors, worker=function(triggers=[errors.lines("ERROR")]))

    permission, subscription = "lambda.permission.worker.errors", "logs.subscription_filter.worker.errors"
    assert added(built, "logs.group.errors") == {subscription, permission}
    assert built.nodes[permission].props == {
        "function": ref("lambda.function.worker"),
        "principal": "logs.amazonaws.com",
        "source_arn": {"@text": ["{}:*", [ref("logs.group.errors")]]},
    }
    assert built.nodes[subscription].props == {
        "group": ref("logs.group.errors", "group_name"),
        "to": ref("lambda.function.worker"),
        "pattern": "ERROR",
    }
    assert comes_after(built, subscription, permission)
    assert rights(built) == []


def test_objects_of_a_bucket_come_to_an_entry_after_a_permission_for_this_account() -> None:
    files = Bucket()
    built = graph(files=files, worker=function(triggers=[files.objects(suffix=".csv")]))

    assert added(built, "s3.bucket.files") == {"s3.notification.worker.files", "lambda.permission.worker.files"}
    assert built.nodes["lambda.permission.worker.files"].props == {
        "function": ref("lambda.function.worker"),
        "principal": "s3.amazonaws.com",
        "source_arn": ref("s3.bucket.files"),
        "source_account": {"@pseudo": "account"},
    }
    assert built.nodes["s3.notification.worker.files"].props == {
        "bucket": ref("s3.bucket.files", "bucket_name"),
        "target": ref("lambda.function.worker"),
        "events": ["s3:ObjectCreated:*"],
        "suffix": ".csv",
    }
    assert comes_after(built, "s3.notification.worker.files", "lambda.permission.worker.files")


def test_a_function_that_writes_to_the_bucket_it_listens_to_makes_no_cycle() -> None:
    files = Bucket()
    worker = function(uses={"FILES": files.read_write()}, triggers=[files.objects()])

    built = graph(files=files, worker=worker)
    assert comes_after(built, "lambda.function.worker", "s3.bucket.files")
    assert comes_after(built, "s3.notification.worker.files", "lambda.permission.worker.files")


def test_two_sets_of_objects_of_one_bucket_are_told_apart_by_name() -> None:
    files = Bucket()

    built = graph(
        files=files, worker=function(triggers=[files.objects(prefix="a/"), files.objects(prefix="b/", name="b")])
    )
    assert {"s3.notification.worker.files", "s3.notification.worker.files.b"} <= set(built.nodes)

    nameless = function(triggers=[files.objects(prefix="a/"), files.objects(prefix="b/")])
    assert problems(files=files, worker=nameless) == [("name-needed", "lambda.function.worker.triggers")]


def test_changes_of_a_table_come_to_a_mapping_and_the_right_to_read_its_stream() -> None:
    orders, dead = Table(partition_key="id", stream="NEW_IMAGE"), Queue()
    worker = function(triggers=[orders.changes(max_retries=3, on_failure=dead)])
    built = graph(orders=orders, dead=dead, worker=worker)

    assert added(built, "dynamodb.table.orders", "sqs.queue.dead") == {"lambda.event_source_mapping.worker.orders"}
    mapping = built.nodes["lambda.event_source_mapping.worker.orders"].props
    assert mapping["source"] == ref("dynamodb.table.orders", "stream_arn")
    assert mapping["source_kind"] == "dynamodb"
    assert mapping["starting_position"] == "LATEST"
    assert mapping["on_failure"] == ref("sqs.queue.dead")
    assert rights(built) == [
        (
            ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"],
            [ref("dynamodb.table.orders", "stream_arn")],
        ),
        (["sqs:SendMessage"], [ref("sqs.queue.dead")]),
    ]


def test_changes_of_a_table_without_a_stream_are_a_problem() -> None:
    orders = Table(partition_key="id")
    existing = Table.existing("arn:aws:dynamodb:eu-central-1:123456789012:table/orders")
    stream = "arn:aws:dynamodb:eu-central-1:123456789012:table/orders/stream/2026-11-20T10:00:00.000"

    assert problems(orders=orders, worker=function(triggers=[orders.changes()])) == [
        ("stream-off", "lambda.function.worker.triggers")
    ]
    assert problems(worker=function(triggers=[existing.changes()])) == [
        ("stream-off", "lambda.function.worker.triggers")
    ]
    assert problems(worker=function(triggers=[Table.existing(stream).changes()])) == []


def test_records_of_a_stream_come_to_a_mapping_and_the_right_to_read() -> None:
    clicks = Stream()
    built = graph(clicks=clicks, worker=function(triggers=[clicks.records(window="5 s")]))

    assert added(built, "kinesis.stream.clicks") == {"lambda.event_source_mapping.worker.clicks"}
    ((actions, resources),) = rights(built)
    assert {action.partition(":")[0] for action in actions} == {"kinesis"}
    assert resources == [ref("kinesis.stream.clicks")]


CLUSTER = "arn:aws:kafka:eu-central-1:123456789012:cluster/shop/1"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:broker-AbCdEf"
ENTER = (
    [
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
    ],
    ["*"],
)


def test_a_topic_of_msk_comes_to_a_mapping_and_the_rights_to_find_reach_and_read_it() -> None:
    built = graph(worker=function(triggers=[MskTopic("orders.new", cluster=CLUSTER)]))

    assert added(built) == {"lambda.event_source_mapping.worker.msk.orders-new"}
    mapping = built.nodes["lambda.event_source_mapping.worker.msk.orders-new"].props
    assert (mapping["source"], mapping["topic"], mapping["starting_position"]) == (CLUSTER, "orders.new", "LATEST")
    found = rights(built)
    assert (["kafka:DescribeCluster", "kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"], [CLUSTER]) in found
    assert ENTER in found
    lead = "arn:aws:kafka:eu-central-1:123456789012"
    [inside] = [resources for actions, resources in found if actions[0].startswith("kafka-cluster:")]
    assert inside == [CLUSTER, f"{lead}:topic/shop/1/orders.new", f"{lead}:group/shop/1/*"]


def test_a_topic_of_msk_is_read_with_a_secret_instead_of_the_role() -> None:
    built = graph(worker=function(triggers=[MskTopic("orders", cluster=CLUSTER, secret=SECRET)]))

    access = built.nodes["lambda.event_source_mapping.worker.msk.orders"].props["access"]
    assert access == [{"type": "SASL_SCRAM_512_AUTH", "uri": SECRET}]
    assert (["secretsmanager:GetSecretValue"], [SECRET]) in rights(built)
    assert not any(action.startswith("kafka-cluster:") for actions, _ in rights(built) for action in actions)


def test_a_kafka_of_ones_own_is_reached_only_where_it_is_in_a_vpc() -> None:
    servers = ["b.example:9092"]
    public = graph(worker=function(triggers=[KafkaTopic("orders", servers=servers, secret=SECRET)]))
    private = graph(
        worker=function(
            triggers=[KafkaTopic("orders", servers=servers, subnets=["subnet-1"], security_groups=["sg-1"])]
        )
    )

    assert rights(public) == [(["secretsmanager:GetSecretValue"], [SECRET])]
    assert rights(private) == [ENTER]
    access = private.nodes["lambda.event_source_mapping.worker.kafka.orders"].props["access"]
    assert access == [
        {"type": "VPC_SUBNET", "uri": {"@text": ["subnet:{}", ["subnet-1"]]}},
        {"type": "VPC_SECURITY_GROUP", "uri": {"@text": ["security_group:{}", ["sg-1"]]}},
    ]


def test_a_queue_of_a_broker_and_changes_of_documentdb_are_read_with_a_secret() -> None:
    broker = "arn:aws:mq:eu-central-1:123456789012:broker:shop:b-1"
    cluster = "arn:aws:rds:eu-central-1:123456789012:cluster:shop"
    built = graph(
        worker=function(
            triggers=[
                MqQueue("orders", broker=broker, secret=SECRET, virtual_host="/"),
                DocumentDbStream("shop", cluster=cluster, secret=SECRET, collection="orders"),
            ]
        )
    )

    assert added(built) == {
        "lambda.event_source_mapping.worker.mq.orders",
        "lambda.event_source_mapping.worker.documentdb.shop-orders",
    }
    actions = {action for actions, _ in rights(built) for action in actions}
    assert {"mq:DescribeBroker", "rds:DescribeDBClusters", "secretsmanager:GetSecretValue"} <= actions


def test_two_topics_of_one_name_are_told_apart_by_a_name() -> None:
    first, second = MskTopic("orders", cluster=CLUSTER), MskTopic("orders", cluster=f"{CLUSTER}2")
    named = MskTopic("orders", cluster=f"{CLUSTER}2", name="other")

    assert problems(worker=function(triggers=[first, second])) == [("name-needed", "lambda.function.worker.triggers")]
    assert added(graph(worker=function(triggers=[first, named]))) == {
        "lambda.event_source_mapping.worker.msk.orders",
        "lambda.event_source_mapping.worker.msk.other",
    }


def test_a_schedule_comes_with_a_role_that_may_invoke_exactly_this_function() -> None:
    built = graph(worker=function(triggers=[Schedule("cron(0 3 * * ? *)", timezone="Europe/Berlin")]))

    assert added(built) == {
        "scheduler.schedule.worker",
        "iam.role.worker.schedule",
        "iam.role_policy.worker.schedule",
    }
    assert built.nodes["iam.role.worker.schedule"].props["assumed_by"] == ["scheduler.amazonaws.com"]
    assert rights(built, "iam.role_policy.worker.schedule") == [
        (["lambda:InvokeFunction"], [ref("lambda.function.worker")])
    ]
    assert built.nodes["scheduler.schedule.worker"].props == {
        "expression": "cron(0 3 * * ? *)",
        "timezone": "Europe/Berlin",
        "target": ref("lambda.function.worker"),
        "role": ref("iam.role.worker.schedule"),
    }
    assert comes_after(built, "scheduler.schedule.worker", "iam.role_policy.worker.schedule")


def test_two_schedules_of_one_function_are_told_apart_by_name() -> None:
    named = function(triggers=[Schedule("rate(1 hour)"), Schedule("rate(1 day)", name="daily")])
    nameless = function(triggers=[Schedule("rate(1 hour)"), Schedule("rate(1 day)")])

    assert {"scheduler.schedule.worker", "scheduler.schedule.worker.daily"} <= set(graph(worker=named).nodes)
    assert problems(worker=nameless) == [("name-needed", "lambda.function.worker.triggers")]


def test_a_rule_comes_with_the_permission_for_exactly_this_rule() -> None:
    bus = EventBus()
    built = graph(bus=bus, worker=function(triggers=[Rule({"source": ["shop"]}, bus=bus)]))

    assert added(built, "events.bus.bus") == {"events.rule.worker", "lambda.permission.worker.event-rule"}
    assert built.nodes["events.rule.worker"].props == {
        "pattern": {"source": ["shop"]},
        "bus": ref("events.bus.bus", "bus_name"),
        "targets": [{"to": ref("lambda.function.worker")}],
    }
    assert built.nodes["lambda.permission.worker.event-rule"].props["source_arn"] == ref("events.rule.worker")


def test_two_rules_of_one_function_are_told_apart_by_name() -> None:
    named = function(triggers=[Rule({"source": ["a"]}), Rule({"source": ["b"]}, name="b")])
    nameless = function(triggers=[Rule({"source": ["a"]}), Rule({"source": ["b"]})])

    assert {"events.rule.worker.b", "lambda.permission.worker.event-rule.b"} <= set(graph(worker=named).nodes)
    assert problems(worker=nameless) == [("name-needed", "lambda.function.worker.triggers")]


def test_every_trigger_invokes_the_alias_where_there_is_one() -> None:
    inbox, news, files, errors = Queue(), Topic(), Bucket(), LogGroup()
    triggers = [
        inbox.messages(),
        news.notifications(),
        files.objects(),
        errors.lines(),
        Schedule("rate(1 hour)"),
        Rule({"source": ["a"]}),
    ]
    built = graph(inbox=inbox, news=news, files=files, errors=errors, worker=function(alias="live", triggers=triggers))

    alias = ref("lambda.alias.worker")
    assert built.nodes["lambda.event_source_mapping.worker.inbox"].props["function"] == alias
    assert built.nodes["lambda.permission.worker.news"].props["function"] == alias
    assert built.nodes["lambda.permission.worker.files"].props["function"] == alias
    assert built.nodes["lambda.permission.worker.event-rule"].props["function"] == alias
    assert built.nodes["s3.notification.worker.files"].props["target"] == alias
    assert built.nodes["logs.subscription_filter.worker.errors"].props["to"] == alias
    assert built.nodes["scheduler.schedule.worker"].props["target"] == alias
    assert rights(built, "iam.role_policy.worker.schedule") == [(["lambda:InvokeFunction"], [alias])]


# -- functions' own settings


def test_a_public_url_comes_with_both_public_statements() -> None:
    built = graph(worker=function(function_url=FunctionUrl(auth="NONE")))

    assert added(built) == {
        "lambda.url.worker",
        "lambda.permission.worker.public-url",
        "lambda.permission.worker.public-invoke",
    }
    assert built.nodes["lambda.url.worker"].props == {"function": ref("lambda.function.worker"), "auth": "NONE"}


def test_a_private_url_is_open_to_nobody() -> None:
    built = graph(worker=function(function_url=FunctionUrl()))

    assert added(built) == {"lambda.url.worker"}


def test_an_alias_follows_the_version_that_follows_the_function() -> None:
    built = graph(worker=function(alias="live", concurrency=Provisioned(2)))

    assert added(built) == {"lambda.version.worker", "lambda.alias.worker", "lambda.provisioned_concurrency.worker"}
    assert built.nodes["lambda.version.worker"].props == {
        "function": ref("lambda.function.worker", "function_name"),
        "revision": ref("lambda.function.worker", "revision"),
    }
    assert built.nodes["lambda.alias.worker"].props["version"] == ref("lambda.version.worker", "version")
    assert built.nodes["lambda.provisioned_concurrency.worker"].props["qualifier"] == ref(
        "lambda.alias.worker", "alias_name"
    )


def test_versions_and_aliases_written_by_hand_take_the_resources_themselves() -> None:
    worker = function()
    latest = Version(function=worker)
    live = Alias(function=worker, version=latest, name="live")
    allowed = Permission(function=live, principal="123456789012")
    built = graph(worker=worker, latest=latest, live=live, allowed=allowed)

    assert built.nodes["lambda.version.latest"].props == {
        "function": ref("lambda.function.worker", "function_name"),
        "revision": ref("lambda.function.worker", "revision"),
    }
    assert built.nodes["lambda.alias.live"].props == {
        "function": ref("lambda.function.worker", "function_name"),
        "version": ref("lambda.version.latest", "version"),
        "name": "live",
    }
    assert built.nodes["lambda.permission.allowed"].props["function"] == ref("lambda.alias.live")


def test_a_version_of_an_existing_function_is_published_once() -> None:
    existing = Function.existing("arn:aws:lambda:eu-central-1:123456789012:function:other")
    built = graph(latest=Version(function=existing))

    assert "revision" not in built.nodes["lambda.version.latest"].props


def test_packages_of_a_layer_stand_where_their_runtime_looks() -> None:
    packages, tools = Layer(PythonCode("src")), Layer(Code("tools"))
    modules = Layer(Code("modules"), into="nodejs", runtime="nodejs22.x", architecture=by_stage("x86_64", dev="arm64"))
    built = graph(packages=packages, tools=tools, modules=modules)

    builds = {node.name: node.build for node in built.nodes.values()}
    assert {name: (build.prefix, build.runtime, build.architecture) for name, build in builds.items() if build} == {
        "packages": ("python", "python3.13", "x86_64"),
        "tools": ("", "python3.13", "x86_64"),
        "modules": ("nodejs", "nodejs22.x", "arm64"),
    }


def test_a_function_names_the_latest_version_of_its_layers() -> None:
    shared = Layer(Code("."))
    built = graph(shared=shared, worker=function(layers=[shared]))

    assert built.nodes["lambda.function.worker"].props["layers"] == [ref("lambda.layer.shared")]


# -- topics, rules and buckets among themselves


def test_a_subscription_to_a_queue_comes_with_the_queues_permission() -> None:
    news, inbox, dead = Topic(), Queue(), Queue()
    built = graph(news=news, inbox=inbox, dead=dead, feed=news.to(inbox, dead_letter=dead, raw=True))

    assert set(built.nodes) == {
        "sns.topic.news",
        "sqs.queue.inbox",
        "sqs.queue.dead",
        "sns.subscription.feed",
        "sqs.queue_policy.feed",
        "sqs.queue_policy.feed.dead-letter",
    }
    assert built.nodes["sqs.queue_policy.feed"].props == {
        "queue": ref("sqs.queue.inbox"),
        "principal": "sns.amazonaws.com",
        "source_arn": ref("sns.topic.news"),
    }
    assert built.nodes["sns.subscription.feed"].props["protocol"] == "sqs"
    assert comes_after(built, "sns.subscription.feed", "sqs.queue_policy.feed")


def test_the_protocol_is_told_from_the_subscriber_where_it_can_be() -> None:
    news = Topic()
    named: dict[str, Resource] = {"news": news}
    for name, endpoint in (
        ("web", "https://shop.example/hook"),
        ("mail", "ops@shop.example"),
        ("queue", "arn:aws:sqs:r:1:q"),
    ):
        named[name] = news.to(endpoint)
    built = graph(**named)

    protocols = {node.name: node.props["protocol"] for node in built.of_kind("sns.subscription")}
    assert protocols == {"web": "https", "mail": "email", "queue": "sqs"}
    assert problems(news=news, odd=news.to("+49 30 123")) == [("protocol-unknown", "sns.subscription.odd.endpoint")]


def test_a_rule_with_queues_as_targets_comes_with_their_permissions() -> None:
    inbox, dead = Queue(), Queue()
    built = graph(
        inbox=inbox, dead=dead, feed=EventRule(pattern={"source": ["a"]}, targets=[RuleTarget(inbox, dead_letter=dead)])
    )

    assert set(built.nodes) == {
        "sqs.queue.inbox",
        "sqs.queue.dead",
        "events.rule.feed",
        "sqs.queue_policy.feed.inbox",
        "sqs.queue_policy.feed.dead-letter.dead",
    }
    assert built.nodes["sqs.queue_policy.feed.inbox"].props["source_arn"] == ref("events.rule.feed")


def test_what_a_function_uses_is_its_exact_rights() -> None:
    orders = Table(partition_key="id", indexes=[GlobalIndex("by-shop", partition_key="shop")])
    files, clicks, news, bus = Bucket(), Stream(), Topic(), EventBus()
    worker = function(
        uses={
            "ORDERS": orders.write(),
            "FILES": files.read(),
            "CLICKS": clicks.put(),
            "NEWS": news.publish(),
            "BUS": bus.put(),
        }
    )
    built = graph(orders=orders, files=files, clicks=clicks, news=news, bus=bus, worker=worker)

    assert {resources[0]["@ref"][0]: actions for actions, resources in rights(built)} == {
        "dynamodb.table.orders": [
            "dynamodb:BatchWriteItem",
            "dynamodb:ConditionCheckItem",
            "dynamodb:DeleteItem",
            "dynamodb:DescribeTable",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        ],
        "s3.bucket.files": ["s3:GetObject", "s3:ListBucket"],
        "kinesis.stream.clicks": ["kinesis:DescribeStreamSummary", "kinesis:PutRecord", "kinesis:PutRecords"],
        "sns.topic.news": ["sns:Publish"],
        "events.bus.bus": ["events:PutEvents"],
    }
    assert built.nodes["lambda.function.worker"].props["environment"] == {
        "ORDERS": ref("dynamodb.table.orders", "table_name"),
        "FILES": ref("s3.bucket.files", "bucket_name"),
        "CLICKS": ref("kinesis.stream.clicks", "stream_name"),
        "NEWS": ref("sns.topic.news", "arn"),
        "BUS": ref("events.bus.bus", "bus_name"),
    }


def test_reading_a_table_with_indexes_reaches_its_indexes() -> None:
    plain, indexed = Table(partition_key="id"), Table(partition_key="id", indexes=[GlobalIndex("i", partition_key="a")])

    assert len(plain.read().resources) == 1
    assert len(indexed.read().resources) == 2
    assert len(indexed.read_write().resources) == 2
