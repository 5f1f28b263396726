"""What drivers do where a server that plays AWS cannot show it: order, waiting, refusals, shared documents."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lambdaform.model.code import Code
from lambdaform.model.problem import LambdaformError
from lambdaform.resources import catalog
from lambdaform.resources.dynamodb_table import Capacity, GlobalIndex, Key, Table
from lambdaform.resources.events_rule import EventRule
from lambdaform.resources.kinesis_stream import Stream
from lambdaform.resources.lambda_alias import Alias
from lambdaform.resources.lambda_layer import Layer
from lambdaform.resources.lambda_permission import Permission
from lambdaform.resources.lambda_provisioned_concurrency import ProvisionedConcurrency
from lambdaform.resources.lambda_url import FunctionUrl
from lambdaform.resources.lambda_version import Version
from lambdaform.resources.s3_bucket import Bucket
from lambdaform.resources.s3_notification import BucketNotification
from lambdaform.resources.scheduler_schedule import ScheduledCall
from lambdaform.resources.sns_subscription import Subscription
from lambdaform.resources.sqs_queue_policy import QueuePermission
from tests.fakes.aws import FakeAws, fault
from tests.fakes.desired import changes, desired, package, record

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:worker"
ALIAS = FUNCTION + ":live"
QUEUE = "arn:aws:sqs:eu-central-1:123456789012:inbox"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:news"
ROLE = "arn:aws:iam::123456789012:role/clock"


class Documents:
    """Queue policies and bucket notifications as AWS keeps them: one document each, replaced as a whole."""

    def __init__(self) -> None:
        self.policy: dict[str, Any] = {}
        self.notifications: dict[str, Any] = {}

    def aws(self) -> FakeAws:
        return FakeAws(
            answers={
                "sqs:GetQueueUrl": {"QueueUrl": "http://queue"},
                "sqs:GetQueueAttributes": lambda params: {
                    "Attributes": {"Policy": json.dumps(self.policy)} if self.policy else {}
                },
                "sqs:SetQueueAttributes": self._set_policy,
                "s3:GetBucketNotificationConfiguration": lambda params: json.loads(json.dumps(self.notifications)),
                "s3:PutBucketNotificationConfiguration": self._set_notifications,
            }
        )

    def _set_policy(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        text = params["Attributes"]["Policy"]
        self.policy = json.loads(text) if text else {}
        return {}

    def _set_notifications(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self.notifications = dict(params["NotificationConfiguration"])
        return {}


# -- documents that several resources share


def test_senders_to_one_queue_share_its_policy_and_leave_each_other_alone() -> None:
    documents = Documents()
    documents.policy = {"Version": "2012-10-17", "Statement": [{"Sid": "by-hand", "Effect": "Deny"}]}
    aws, driver = documents.aws(), catalog.driver_of("sqs.queue_policy")
    wanted = [
        desired(QueuePermission(queue=QUEUE, principal="sns.amazonaws.com", source_arn=TOPIC), name)
        for name in ("news", "sport")
    ]

    made = [record(each, driver.create(aws, each)) for each in wanted]
    assert [each["Sid"] for each in documents.policy["Statement"]] == [
        "by-hand",
        *(each.outputs["statement_id"] for each in made),
    ]
    assert documents.policy["Statement"][1] == {
        "Sid": made[0].outputs["statement_id"],
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": ["sqs:SendMessage"],
        "Resource": QUEUE,
        "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC}},
    }

    driver.delete(aws, made[0])
    assert [each["Sid"] for each in documents.policy["Statement"]] == ["by-hand", made[1].outputs["statement_id"]]


def test_the_last_sender_takes_the_policy_away() -> None:
    documents = Documents()
    aws, driver = documents.aws(), catalog.driver_of("sqs.queue_policy")
    wanted = desired(QueuePermission(queue=QUEUE, principal="events.amazonaws.com", source_account="123456789012"))

    made = record(wanted, driver.create(aws, wanted))
    assert documents.policy

    driver.delete(aws, made)
    assert documents.policy == {}
    assert aws.params_of("sqs:SetQueueAttributes")["Attributes"] == {"Policy": ""}


def test_listeners_of_one_bucket_share_its_notifications_and_leave_each_other_alone() -> None:
    documents = Documents()
    filters = {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "x/"}]}}
    by_hand = {"Id": "by-hand", "QueueArn": QUEUE, "Events": ["s3:ObjectRemoved:*"], "Filter": filters}
    documents.notifications = {"QueueConfigurations": [by_hand], "EventBridgeConfiguration": {}}
    aws, driver = documents.aws(), catalog.driver_of("s3.notification")
    wanted = [
        desired(BucketNotification(bucket="files", target=FUNCTION, prefix=prefix), name)
        for name, prefix in (("in", "in/"), ("out", "out/"))
    ]

    made = [record(each, driver.create(aws, each)) for each in wanted]
    assert [each["Id"] for each in documents.notifications["LambdaFunctionConfigurations"]] == [
        each.outputs["entry_id"] for each in made
    ]

    driver.update(aws, wanted[0], made[0], frozenset({"target"}))
    for each in made:
        driver.delete(aws, each)
    assert documents.notifications.keys() == {"QueueConfigurations", "EventBridgeConfiguration"}
    assert documents.notifications["QueueConfigurations"][0]["Id"] == "by-hand"


def test_an_entry_that_moves_from_a_function_to_a_queue_leaves_nothing_behind() -> None:
    documents = Documents()
    aws, driver = documents.aws(), catalog.driver_of("s3.notification")
    before = desired(BucketNotification(bucket="files", target=FUNCTION))
    after = desired(BucketNotification(bucket="files", target=QUEUE, target_kind="queue"))

    made = record(before, driver.create(aws, before))
    driver.update(aws, after, made, changes(before, after))
    assert documents.notifications.keys() == {"QueueConfigurations"}


# -- functions' things


def test_an_alias_arn_becomes_name_and_qualifier() -> None:
    aws = FakeAws(answers={"lambda:CreateFunctionUrlConfig": {"FunctionUrl": "https://x/", "FunctionArn": ALIAS}})
    wanted = desired(FunctionUrl(function=ALIAS))

    outputs = catalog.driver_of("lambda.url").create(aws, wanted)

    assert aws.calls[0].params == {"FunctionName": FUNCTION, "Qualifier": "live", "AuthType": "AWS_IAM"}
    assert outputs == {"url": "https://x/", "arn": ALIAS}


def test_a_changed_permission_stands_beside_the_old_one_before_that_goes() -> None:
    aws, driver = FakeAws(), catalog.driver_of("lambda.permission")
    before = desired(Permission(function=ALIAS, principal="s3.amazonaws.com"))
    after = desired(Permission(function=ALIAS, principal="s3.amazonaws.com", source_account="123456789012"))

    made = record(before, driver.create(aws, before))
    outputs = driver.update(aws, after, made, changes(before, after))
    assert aws.made() == ["lambda:AddPermission", "lambda:AddPermission", "lambda:RemovePermission"]
    assert aws.calls[1].params["StatementId"] == outputs["statement_id"] != made.outputs["statement_id"]
    assert aws.calls[2].params["StatementId"] == made.outputs["statement_id"]


def test_a_permission_that_was_added_by_an_interrupted_run_is_taken_as_it_is() -> None:
    aws, driver = FakeAws(), catalog.driver_of("lambda.permission")
    aws.answers["lambda:AddPermission"] = fault("lambda:AddPermission", "ResourceConflictException", status=409)
    wanted = desired(Permission(function=FUNCTION, principal="123456789012"))
    found = record(wanted, {"statement_id": "as-found"})

    outputs = driver.update(
        aws,
        wanted,
        record(desired(Permission(function=FUNCTION, principal="*")), found.outputs),
        frozenset({"principal"}),
    )
    assert outputs["statement_id"].startswith("thing-")


def test_a_public_url_is_opened_by_both_statements() -> None:
    aws, driver = FakeAws(), catalog.driver_of("lambda.permission")

    driver.create(
        aws, desired(Permission(function=FUNCTION, principal="*", action="lambda:InvokeFunctionUrl", url_auth="NONE"))
    )
    driver.create(aws, desired(Permission(function=FUNCTION, principal="*", via_url=True)))
    assert aws.calls[0].params["FunctionUrlAuthType"] == "NONE"
    assert aws.calls[1].params["InvokedViaFunctionUrl"] is True


def test_a_statement_id_is_legal_however_long_the_address_is() -> None:
    aws, driver = FakeAws(), catalog.driver_of("lambda.permission")

    outputs = driver.create(
        aws, desired(Permission(function=FUNCTION, principal="*"), "worker." + "very-long-name." * 20)
    )
    assert len(outputs["statement_id"]) == 100


def test_a_version_waits_until_it_can_be_invoked() -> None:
    aws = FakeAws(
        answers={
            "lambda:PublishVersion": {"FunctionArn": FUNCTION + ":7", "Version": "7"},
            "lambda:GetFunctionConfiguration": [{"State": "Pending"}, {"State": "Pending"}, {"State": "Active"}],
        }
    )

    outputs = catalog.driver_of("lambda.version").create(aws, desired(Version(function="worker", revision="1")))
    assert outputs == {"arn": FUNCTION + ":7", "version": "7"}
    assert len(aws.calls) == 4


def test_a_version_that_fails_says_why() -> None:
    aws = FakeAws(
        answers={
            "lambda:PublishVersion": {"FunctionArn": FUNCTION + ":7", "Version": "7"},
            "lambda:GetFunctionConfiguration": {"State": "Failed", "StateReason": "the init failed"},
        }
    )

    with pytest.raises(LambdaformError, match="version 7 of worker ready: the init failed"):
        catalog.driver_of("lambda.version").create(aws, desired(Version(function="worker")))


def test_a_version_that_an_alias_still_uses_stays() -> None:
    aws, driver = FakeAws(), catalog.driver_of("lambda.version")
    aws.answers["lambda:DeleteFunction"] = fault("lambda:DeleteFunction", "ResourceConflictException", status=409)
    wanted = desired(Version(function="worker"))

    driver.delete(aws, record(wanted, {"arn": FUNCTION + ":7", "version": "7"}))
    assert aws.calls[0].params == {"FunctionName": "worker", "Qualifier": "7"}


def test_a_moved_alias_drops_the_weight_it_is_no_longer_given() -> None:
    aws, driver = (
        FakeAws(answers={"lambda:UpdateAlias": {"AliasArn": ALIAS, "Name": "live"}}),
        catalog.driver_of("lambda.alias"),
    )
    before = desired(Alias(function="worker", version="1", name="live", weights={"2": 0.1}))
    after = desired(Alias(function="worker", version="2", name="live"))

    driver.update(aws, after, record(before, {"arn": ALIAS, "alias_name": "live"}), changes(before, after))
    assert aws.calls[0].params == {
        "FunctionName": "worker",
        "Name": "live",
        "FunctionVersion": "2",
        "RoutingConfig": {"AdditionalVersionWeights": {}},
    }


def test_provisioned_concurrency_lives_from_create_to_delete() -> None:
    aws, driver = FakeAws(), catalog.driver_of("lambda.provisioned_concurrency")
    missing = fault(
        "lambda:GetProvisionedConcurrencyConfig", "ProvisionedConcurrencyConfigNotFoundException", status=404
    )
    aws.answers["lambda:GetProvisionedConcurrencyConfig"] = [{"Status": "IN_PROGRESS"}, {"Status": "READY"}]
    wanted = desired(ProvisionedConcurrency(function="worker", qualifier="live", executions=2))

    made = record(wanted, driver.create(aws, wanted))
    assert driver.read(aws, made) == {"function_name": "worker"}
    assert driver.find(aws, wanted) is not None
    driver.update(aws, wanted, made, frozenset({"executions"}))

    aws.answers["lambda:GetProvisionedConcurrencyConfig"] = missing
    aws.answers["lambda:DeleteProvisionedConcurrencyConfig"] = missing
    driver.delete(aws, made)
    assert driver.read(aws, made) is None
    assert driver.find(aws, wanted) is None


def test_provisioned_concurrency_that_fails_says_why() -> None:
    failed = {"Status": "FAILED", "StatusReason": "FUNCTION_ERROR_INIT_FAILURE"}
    aws = FakeAws(answers={"lambda:GetProvisionedConcurrencyConfig": failed})
    wanted = desired(ProvisionedConcurrency(function="worker", qualifier="live", executions=2))

    with pytest.raises(LambdaformError, match="2 environments of worker:live: FUNCTION_ERROR_INIT_FAILURE"):
        catalog.driver_of("lambda.provisioned_concurrency").create(aws, wanted)


def test_a_layer_that_an_interrupted_run_published_is_not_published_again(tmp_path: Path) -> None:
    arn = "arn:aws:lambda:eu-central-1:123456789012:layer:shop-dev-thing:1"
    aws, driver = (
        FakeAws(answers={"lambda:PublishLayerVersion": {"LayerVersionArn": arn, "Version": 1}}),
        catalog.driver_of("lambda.layer"),
    )
    wanted = desired(Layer(Code(".")), package=package(tmp_path))

    first = driver.create(aws, wanted)
    request = aws.params_of("lambda:PublishLayerVersion")
    digest = base64.b64encode(hashlib.sha256(request["Content"]["ZipFile"]).digest()).decode()
    aws.answers["lambda:ListLayerVersions"] = {"LayerVersions": [{"Version": 1}]}
    aws.answers["lambda:GetLayerVersion"] = {
        **{name: request[name] for name in ("CompatibleArchitectures", "CompatibleRuntimes", "Description")},
        "Content": {"CodeSha256": digest},
        "LayerVersionArn": arn,
        "Version": 1,
    }
    assert driver.create(aws, wanted) == first
    assert aws.made().count("lambda:PublishLayerVersion") == 1

    found = driver.find(aws, wanted)
    assert found is not None
    assert found.outputs == first


def test_deleting_a_layer_deletes_every_version_that_was_made() -> None:
    aws = FakeAws()
    outputs = {
        "arn": "a:3",
        "layer_arn": "arn:aws:lambda:eu-central-1:123456789012:layer:x",
        "version": 3,
        "versions": [1, 3],
    }

    catalog.driver_of("lambda.layer").delete(aws, record(desired(Layer(Code("."))), outputs))
    assert [call.params["VersionNumber"] for call in aws.calls] == [1, 3]


# -- what holds data


def active(**more: Any) -> dict[str, Any]:
    return {
        "Table": {
            "TableStatus": "ACTIVE",
            "TableName": "t",
            "TableArn": "arn:aws:dynamodb:eu-central-1:1:table/t",
            **more,
        }
    }


def test_a_stream_of_another_view_goes_off_before_it_comes_on() -> None:
    aws, driver = FakeAws(), catalog.driver_of("dynamodb.table")
    aws.answers["dynamodb:DescribeTable"] = active(
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}, LatestStreamArn="arn:stream"
    )
    before, after = (
        desired(Table(partition_key="id", stream="NEW_IMAGE")),
        desired(Table(partition_key="id", stream="KEYS_ONLY")),
    )

    driver.update(aws, after, record(before, {}), changes(before, after))
    assert [call.params["StreamSpecification"] for call in aws.calls if call.operation == "UpdateTable"] == [
        {"StreamEnabled": False},
        {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    ]


def test_indexes_change_one_at_a_time_and_only_where_they_differ() -> None:
    aws, driver = FakeAws(), catalog.driver_of("dynamodb.table")
    aws.answers["dynamodb:DescribeTable"] = active(
        GlobalSecondaryIndexes=[
            {"IndexName": name, "IndexStatus": "ACTIVE"} for name in ("stays", "grows", "goes", "turns")
        ]
    )
    before = desired(
        Table(
            partition_key="id",
            indexes=[
                GlobalIndex("stays", partition_key="a"),
                GlobalIndex("grows", partition_key="a", capacity=Capacity(1, 1)),
                GlobalIndex("goes", partition_key="b"),
                GlobalIndex("turns", partition_key="c"),
            ],
        )
    )
    after = desired(
        Table(
            partition_key="id",
            indexes=[
                GlobalIndex("stays", partition_key="a"),
                GlobalIndex("grows", partition_key="a", capacity=Capacity(2, 1)),
                GlobalIndex("turns", partition_key="c", sort_key=Key("at", "N")),
                GlobalIndex("comes", partition_key="d"),
            ],
        )
    )

    driver.update(aws, after, record(before, {}), changes(before, after))
    updates = [call.params["GlobalSecondaryIndexUpdates"] for call in aws.calls if call.operation == "UpdateTable"]
    steps = [(*step, next(iter(step.values()))["IndexName"]) for (step,) in updates]
    assert steps == [
        ("Update", "grows"),
        ("Delete", "goes"),
        ("Delete", "turns"),
        ("Create", "turns"),
        ("Create", "comes"),
    ]


def test_a_table_that_is_still_being_made_is_waited_for_before_it_is_deleted() -> None:
    aws, driver = FakeAws(), catalog.driver_of("dynamodb.table")
    aws.answers["dynamodb:DescribeTable"] = [
        active(TableStatus="CREATING"),
        active(),
        active(TableStatus="DELETING"),
        fault("dynamodb:DescribeTable", "ResourceNotFoundException"),
    ]
    aws.answers["dynamodb:DeleteTable"] = [fault("dynamodb:DeleteTable", "ResourceInUseException"), {}]

    driver.delete(aws, record(desired(Table(partition_key="id")), {}))
    assert aws.made().count("dynamodb:DeleteTable") == 2


def test_shards_at_most_double_at_once() -> None:
    aws, driver = FakeAws(), catalog.driver_of("kinesis.stream")
    count = [2]

    def resize(params: Mapping[str, Any]) -> Mapping[str, Any]:
        count[0] = params["TargetShardCount"]
        return {}

    aws.answers["kinesis:UpdateShardCount"] = resize
    aws.answers["kinesis:DescribeStreamSummary"] = lambda params: {
        "StreamDescriptionSummary": {
            "StreamStatus": "ACTIVE",
            "StreamARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/s",
            "StreamName": "s",
            "OpenShardCount": count[0],
            "StreamModeDetails": {"StreamMode": "PROVISIONED"},
        }
    }
    before, after = desired(Stream(shards=2)), desired(Stream(shards=9))

    driver.update(aws, after, record(before, {}), changes(before, after))
    driver.update(aws, before, record(after, {}), changes(before, after))
    targets = [call.params["TargetShardCount"] for call in aws.calls if call.operation == "UpdateShardCount"]
    assert targets == [4, 8, 9, 5, 3, 2]


def test_a_bucket_is_emptied_of_old_versions_and_delete_markers() -> None:
    aws, driver = FakeAws(), catalog.driver_of("s3.bucket")
    page = {"Versions": [{"Key": "a", "VersionId": "1"}], "DeleteMarkers": [{"Key": "a", "VersionId": "2"}]}
    aws.answers["s3:ListObjectVersions"] = [page, {}]

    driver.delete(aws, record(desired(Bucket()), {}))
    assert aws.made() == ["s3:ListObjectVersions", "s3:DeleteObjects", "s3:ListObjectVersions", "s3:DeleteBucket"]
    assert aws.params_of("s3:DeleteObjects")["Delete"]["Objects"] == [
        {"Key": "a", "VersionId": "1"},
        {"Key": "a", "VersionId": "2"},
    ]


def test_a_bucket_that_is_there_is_noticed_where_creating_it_again_would_succeed() -> None:
    aws, driver = FakeAws(region="us-east-1"), catalog.driver_of("s3.bucket")
    aws.answers["s3:GetBucketTagging"] = fault("s3:GetBucketTagging", "NoSuchTagSet", status=404)
    wanted = desired(Bucket())

    with pytest.raises(Exception, match="BucketAlreadyOwnedByYou"):
        driver.create(aws, wanted)
    found = driver.find(aws, wanted)
    assert found is not None
    assert found.tags == {}, "without our tags it is not ours"


# -- events


def test_a_rule_that_is_there_is_not_overwritten() -> None:
    aws, driver = FakeAws(answers={"events:DescribeRule": {"Arn": "arn:rule"}}), catalog.driver_of("events.rule")
    wanted = desired(EventRule(pattern={"source": ["shop"]}, targets=[FUNCTION]))

    with pytest.raises(Exception, match="ResourceAlreadyExists"):
        driver.create(aws, wanted)
    assert "events:PutRule" not in aws.made()


def test_a_target_that_eventbridge_did_not_take_is_an_error() -> None:
    missing = fault("events:DescribeRule", "ResourceNotFoundException")
    failure = {
        "FailedEntryCount": 1,
        "FailedEntries": [{"ErrorCode": "ValidationException", "ErrorMessage": "no role"}],
    }
    aws = FakeAws(
        answers={
            "events:DescribeRule": missing,
            "events:PutRule": {"RuleArn": "arn:rule"},
            "events:PutTargets": failure,
        }
    )

    with pytest.raises(Exception, match="ValidationException: no role"):
        catalog.driver_of("events.rule").create(aws, desired(EventRule(pattern={"source": ["a"]}, targets=[FUNCTION])))


def test_a_schedule_that_calls_as_somebody_else_is_not_ours() -> None:
    aws, driver = FakeAws(), catalog.driver_of("scheduler.schedule")
    wanted = desired(ScheduledCall(expression="rate(1 hour)", target=FUNCTION, role=ROLE))

    aws.answers["scheduler:GetSchedule"] = {"Arn": "arn:s", "Target": {"RoleArn": ROLE}}
    ours = driver.find(aws, wanted)
    aws.answers["scheduler:GetSchedule"] = {"Arn": "arn:s", "Target": {"RoleArn": ROLE + "2"}}
    other = driver.find(aws, wanted)

    assert ours is not None
    assert ours.tags is None
    assert other is not None
    assert other.tags == {}


def test_the_filter_goes_before_its_scope_changes() -> None:
    aws, driver = FakeAws(), catalog.driver_of("sns.subscription")
    before = desired(Subscription(topic=TOPIC, endpoint=QUEUE, filter={"a": ["b"]}, dead_letter=QUEUE))
    after = desired(Subscription(topic=TOPIC, endpoint=QUEUE, filter={"a": {"b": ["c"]}}, filter_on="body"))

    driver.update(aws, after, record(before, {"arn": TOPIC + ":1"}), changes(before, after))
    assert [(call.params["AttributeName"], call.params.get("AttributeValue")) for call in aws.calls] == [
        ("FilterPolicy", "{}"),
        ("FilterPolicyScope", "MessageBody"),
        ("RedrivePolicy", None),
        ("FilterPolicy", '{"a": {"b": ["c"]}}'),
    ]
