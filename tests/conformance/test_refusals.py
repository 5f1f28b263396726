"""Refusals.

What Lambda's API refuses of requests that a client would not make by itself, and in which words.
"""

from __future__ import annotations

import http.client
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conformance.facts import fact
from tests.conformance.test_broker_mappings import SOURCES
from tests.local.conftest import ROLE, Aws, Maker, Refusal, Virtual, own, refusal, unique, zipped
from tests.patience import PATIENCE

CREATE = "https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html"
UPDATE = "https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html"
MAPPING = "https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html"
SIGNING = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-codesigning.html"
FILES = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-filesystem.html"
RECORDS = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html"
DURABLE = "https://docs.aws.amazon.com/lambda/latest/dg/durable-configuration.html"
TAGS = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html"
ERRORS = "https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html"

ECHO = "def handler(event, context):\n    return event\n"
LEAD = "us-east-1:123456789012"
QUEUE, TOPIC = f"arn:aws:sqs:{LEAD}:events", f"arn:aws:sns:{LEAD}:events"
VPC = {"SubnetIds": ["subnet-12345678"], "SecurityGroupIds": ["sg-12345678"]}
NO_VPC: dict[str, Any] = {"SubnetIds": [], "SecurityGroupIds": []}
ACCESS_POINT = f"arn:aws:elasticfilesystem:{LEAD}:access-point/fsap-00112233445566778"
SYSTEM = [{"Arn": ACCESS_POINT, "LocalMountPath": "/mnt/data"}]
NO_SIGNING = f"arn:aws:lambda:{LEAD}:code-signing-config:csc-{'0' * 17}"
PROFILE = f"arn:aws:signer:{LEAD}:/signing-profiles/p/1234567890"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:latest"
HALF = "a\ud800b"
"""Half of a pair of surrogates: JSON can escape it, and it is no text."""


def arn_of(name: str) -> str:
    return f"arn:aws:lambda:{LEAD}:function:{name}"


def zip_of(**settings: Any) -> dict[str, Any]:
    return {
        "FunctionName": unique(),
        "Runtime": "python3.13",
        "Handler": "app.handler",
        "Role": ROLE,
        "Code": {"ZipFile": zipped({"app.py": ECHO})},
        **settings,
    }


def image_of(**settings: Any) -> dict[str, Any]:
    return {"FunctionName": unique(), "PackageType": "Image", "Role": ROLE, "Code": {"ImageUri": IMAGE}, **settings}


def sent(aws: Aws, path: str, body: str) -> tuple[int, str]:
    """How a request is answered that no client would send: the status, and the error's type."""
    parts = urlsplit(aws.endpoint)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    connection.request("POST", path, body.encode())
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.getheader("x-amzn-ErrorType", "")


def is_refused(found: Refusal, text: str) -> bool:
    return (found.code, found.status, found.message) == ("InvalidParameterValueException", 400, text)


@pytest.fixture(scope="module")
def name(function: Maker) -> str:
    """A function nobody changes."""
    return function(ECHO)


@pytest.fixture(scope="module")
def stream(aws: Aws) -> str:
    """The ARN of a stream."""
    kinesis, called = aws.client("kinesis"), unique("stream")
    kinesis.create_stream(StreamName=called, ShardCount=1)
    return str(kinesis.describe_stream(StreamName=called)["StreamDescription"]["StreamARN"])


def queue(aws: Aws) -> str:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=unique("queue"))["QueueUrl"]
    return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


# Documents


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ('"Timeout": NaN', "InvalidRequestContentException"),
        ('"Timeout": -Infinity', "InvalidRequestContentException"),
        ('"Timeout": 1e400', "SerializationException"),
        (f'"Timeout": 1{"0" * 400}', "SerializationException"),
        ('"Code": {"ZipFile": "é"}', "SerializationException"),
        ('"Code": {"ZipFile": "no base64"}', "SerializationException"),
    ],
    ids=["nan", "infinity", "large", "long", "text", "base64"],
)
@fact("requests", "refuses numbers that are none, and what is not base64", source=ERRORS)
def test_documents_that_cannot_be_read_are_refused(aws: Aws, settings: str, code: str) -> None:
    given = f'{{"FunctionName": "f", "Role": "{ROLE}", {settings}}}'

    assert sent(aws, "/2015-03-31/functions", given) == (400, code)


@pytest.mark.parametrize(
    "settings",
    [
        {"Environment": {"Variables": {"KEY": HALF}}},
        {"Environment": {"Variables": {HALF: "value"}}},
        {"Code": {"S3Bucket": "bucket", "S3Key": HALF}},
        {"Code": {"S3Bucket": "bucket", "S3Key": "key", "S3ObjectVersion": HALF}},
    ],
    ids=["value", "name", "key", "version"],
)
@fact("requests", "refuses strings that are no Unicode", source=ERRORS)
def test_half_a_surrogate_pair_is_refused(awslambda: Any, settings: dict[str, Any]) -> None:
    refused = refusal(awslambda.create_function, **zip_of(**settings))

    assert (refused.code, refused.status) == ("SerializationException", 400)


@fact("requests", "takes every text that is Unicode", source=CREATE)
def test_text_of_every_kind_is_taken(awslambda: Any, function: Maker) -> None:
    name = function(ECHO, Environment={"Variables": {"KEY": "é 漢字 \U0001f600"}})

    shown = awslambda.get_function_configuration(FunctionName=name)["Environment"]
    assert shown == {"Variables": {"KEY": "é 漢字 \U0001f600"}}


# Settings


@fact("SnapStart, TracingConfig", "hold their defaults when they are given empty", source=CREATE)
def test_empty_settings_mean_their_defaults(awslambda: Any) -> None:
    empty: dict[str, Any] = {"SnapStart": {}, "TracingConfig": {}}
    made = awslambda.create_function(**zip_of(**empty))
    awslambda.get_function(FunctionName=made["FunctionName"])
    awslambda.update_function_configuration(FunctionName=made["FunctionName"], TracingConfig={"Mode": "Active"})
    awslambda.get_function(FunctionName=made["FunctionName"])
    updated = awslambda.update_function_configuration(FunctionName=made["FunctionName"], **empty)

    for shown in (made, updated):
        assert shown["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}
        assert shown["TracingConfig"] == {"Mode": "PassThrough"}


@pytest.mark.parametrize("half", ["SubnetIds", "SecurityGroupIds"])
@fact("VpcConfig", "has subnets and security groups, or neither", source=CREATE)
def test_subnets_and_security_groups_come_together(awslambda: Any, name: str, half: str) -> None:
    text = "SubnetIds and SecurityIds must coexist or be both empty list."

    for config in ({half: VPC[half]}, {**NO_VPC, half: VPC[half]}):
        assert is_refused(refusal(awslambda.create_function, **zip_of(VpcConfig=config)), text)
        changed = refusal(awslambda.update_function_configuration, FunctionName=name, VpcConfig=config)
        assert is_refused(changed, text)


@fact("VpcConfig", "may be both empty, which is no VPC", source=CREATE)
def test_no_subnets_and_no_security_groups_are_taken(awslambda: Any) -> None:
    made = awslambda.create_function(**zip_of(VpcConfig=NO_VPC))

    assert made["VpcConfig"]["VpcId"] == ""


@pytest.mark.parametrize("settings", [{}, {"VpcConfig": NO_VPC}], ids=["absent", "empty"])
@fact("FileSystemConfigs", "needs a VPC", source=FILES)
def test_a_file_system_needs_a_vpc(awslambda: Any, name: str, settings: dict[str, Any]) -> None:
    text = f"Function must be configured to execute in a VPC to reference access point {ACCESS_POINT}."
    made = refusal(awslambda.create_function, **zip_of(FileSystemConfigs=SYSTEM, **settings))
    changed = refusal(awslambda.update_function_configuration, FunctionName=name, FileSystemConfigs=SYSTEM, **settings)

    assert is_refused(made, text)
    assert is_refused(changed, text)


@fact("FileSystemConfigs", "the VPC stays as long as there is a file system", source=FILES)
def test_a_file_system_keeps_its_vpc(awslambda: Any, function: Maker) -> None:
    name = function(ECHO, VpcConfig=VPC, FileSystemConfigs=SYSTEM)

    alone = refusal(awslambda.update_function_configuration, FunctionName=name, VpcConfig=NO_VPC)
    together = awslambda.update_function_configuration(FunctionName=name, VpcConfig=NO_VPC, FileSystemConfigs=[])

    assert is_refused(
        alone, f"Function VPC configuration cannot be removed with access point {ACCESS_POINT} referenced."
    )
    assert "FileSystemConfigs" not in together


@pytest.mark.parametrize(
    "arn",
    [arn_of("other"), f"{QUEUE}.fifo", f"{TOPIC}.fifo", f"arn:aws:events:{LEAD}:event-bus/default"],
    ids=["function", "fifo queue", "fifo topic", "bus"],
)
@fact("DeadLetterConfig", "is a standard queue or a standard topic", source=RECORDS)
def test_dead_letters_go_to_standard_queues_and_topics(awslambda: Any, name: str, arn: str) -> None:
    config = {"TargetArn": arn}
    made = refusal(awslambda.create_function, **zip_of(DeadLetterConfig=config))
    changed = refusal(awslambda.update_function_configuration, FunctionName=name, DeadLetterConfig=config)

    for found in (made, changed):
        assert (found.code, found.status) == ("InvalidParameterValueException", 400)
        assert arn in found.message


@pytest.mark.parametrize("arn", [QUEUE, TOPIC, f"arn:aws:sns:{LEAD}:fifo"])
@fact("DeadLetterConfig", "is a standard queue or a standard topic", source=RECORDS)
def test_standard_queues_and_topics_take_dead_letters(awslambda: Any, function: Maker, arn: str) -> None:
    name = function(ECHO, DeadLetterConfig={"TargetArn": arn})

    assert awslambda.get_function_configuration(FunctionName=name)["DeadLetterConfig"] == {"TargetArn": arn}


@pytest.mark.parametrize("member", ["OnSuccess", "OnFailure"])
@pytest.mark.parametrize("arn", [f"{QUEUE}.fifo", f"{TOPIC}.fifo"], ids=["queue", "topic"])
@fact("OnSuccess, OnFailure", "no FIFO queues and topics", source=RECORDS)
def test_fifo_destinations_are_refused(awslambda: Any, name: str, member: str, arn: str) -> None:
    found = refusal(
        awslambda.put_function_event_invoke_config,
        FunctionName=name,
        DestinationConfig={member: {"Destination": arn}},
    )

    assert is_refused(found, f"The destination ARN {arn} is invalid.")


@fact("DurableConfig", "is for new functions only", source=DURABLE)
def test_a_function_does_not_become_durable(awslambda: Any, name: str) -> None:
    config = {"ExecutionTimeout": 60}
    found = refusal(awslambda.update_function_configuration, FunctionName=name, DurableConfig=config)
    made = awslambda.create_function(**zip_of(DurableConfig=config))
    awslambda.get_function(FunctionName=made["FunctionName"])
    changed = awslambda.update_function_configuration(
        FunctionName=made["FunctionName"], DurableConfig={"ExecutionTimeout": 90}
    )

    assert (found.code, found.status) == ("InvalidParameterValueException", 400)
    assert "DurableConfig" not in awslambda.get_function_configuration(FunctionName=name)
    assert changed["DurableConfig"]["ExecutionTimeout"] == 90


@fact("Runtime", "an empty one is none", source=UPDATE)
def test_an_empty_runtime_is_refused(awslambda: Any, name: str) -> None:
    found = refusal(awslambda.update_function_configuration, FunctionName=name, Runtime="")

    assert (found.code, found.status) == ("InvalidParameterValueException", 400)
    assert "at 'runtime' failed to satisfy constraint: Member must satisfy enum value set" in found.message


@fact("ImageConfig", "is for images", source=CREATE)
def test_an_image_config_is_for_images(awslambda: Any, name: str) -> None:
    config = {"Command": ["app.handler"]}
    made = refusal(awslambda.create_function, **zip_of(ImageConfig=config))
    changed = refusal(awslambda.update_function_configuration, FunctionName=name, ImageConfig=config)
    image = awslambda.create_function(**image_of(ImageConfig=config))
    empty = awslambda.create_function(**zip_of(ImageConfig={}))

    assert {made.code, changed.code} == {"InvalidParameterValueException"}
    assert image["ImageConfigResponse"] == {"ImageConfig": config}
    assert "ImageConfigResponse" not in empty


@fact(
    "UpdateFunctionCode",
    "brings the package type that the function has",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionCode.html",
)
def test_code_of_the_other_package_type_is_refused(awslambda: Any, name: str) -> None:
    image = awslambda.create_function(**image_of())["FunctionName"]
    awslambda.get_function(FunctionName=image)
    of_zip = refusal(awslambda.update_function_code, FunctionName=name, ImageUri=IMAGE)
    of_image = refusal(awslambda.update_function_code, FunctionName=image, ZipFile=zipped({"app.py": ECHO}))

    assert is_refused(of_zip, "Please don't provide ImageUri when updating a function with packageType Zip.")
    assert is_refused(of_image, "Please provide ImageUri when updating a function with packageType Image.")


# Code signing


@fact("CodeSigningConfigArn", "is one that is there", source=CREATE)
def test_a_missing_signing_config_is_refused(awslambda: Any, name: str) -> None:
    made = refusal(awslambda.create_function, **zip_of(CodeSigningConfigArn=NO_SIGNING))
    put = refusal(awslambda.put_function_code_signing_config, FunctionName=name, CodeSigningConfigArn=NO_SIGNING)

    for found in (made, put):
        assert (found.code, found.status) == ("CodeSigningConfigNotFoundException", 404)
        assert NO_SIGNING in found.message


@fact("CodeSigningConfigArn", "is not for images", source=SIGNING)
def test_images_are_not_signed(awslambda: Any, signing: str) -> None:
    text = "Code signing is not supported for functions created with container images."
    made = refusal(awslambda.create_function, **image_of(CodeSigningConfigArn=signing))
    name = awslambda.create_function(**image_of())["FunctionName"]
    put = refusal(awslambda.put_function_code_signing_config, FunctionName=name, CodeSigningConfigArn=signing)
    asked = refusal(awslambda.get_function_code_signing_config, FunctionName=name)

    assert all(is_refused(found, text) for found in (made, put, asked))


@pytest.fixture(scope="module")
def signing(awslambda: Any) -> str:
    """The ARN of a code signing configuration."""
    made = awslambda.create_code_signing_config(
        AllowedPublishers={"SigningProfileVersionArns": [PROFILE]}, Tags={"mine": "1"}
    )
    return str(made["CodeSigningConfig"]["CodeSigningConfigArn"])


@fact("account, Region", "code signing configurations are seen in their own only", source=SIGNING)
def test_signing_configs_are_not_seen_elsewhere(aws: Aws, awslambda: Any, signing: str) -> None:
    for client in (aws.client("lambda", region="eu-west-1"), aws.client("lambda", key="210987654321")):
        calls = (
            client.get_code_signing_config,
            client.update_code_signing_config,
            client.delete_code_signing_config,
            client.list_functions_by_code_signing_config,
        )
        found = [refusal(call, CodeSigningConfigArn=signing) for call in calls]
        made = refusal(client.create_function, **zip_of(CodeSigningConfigArn=signing))

        assert {(each.code, each.status) for each in found} == {("ResourceNotFoundException", 404)}
        assert made.code == "CodeSigningConfigNotFoundException"
    assert awslambda.get_code_signing_config(CodeSigningConfigArn=signing)["CodeSigningConfig"]


# Tags


@fact("Tags", "hold letters, numbers, spaces and `_.:/=+-@`, of every script", source=TAGS)
def test_tags_of_every_script_are_taken(awslambda: Any, function: Maker) -> None:
    tags = {"Größe / 大きさ": "９ µ\u3000½", "a_.:/=+-@b": ""}
    name = function(ECHO, Tags=tags)

    assert awslambda.list_tags(Resource=arn_of(name))["Tags"] == tags


@pytest.mark.parametrize("tags", [{"a{b}!": "x"}, {"a": "x<y>;"}, {"a\tb": "x"}, {"a": "\U0001f600"}, {"a\n": "x"}])
@fact("Tags", "refuses other characters", source=TAGS)
def test_tags_of_other_characters_are_refused(awslambda: Any, name: str, tags: dict[str, str]) -> None:
    made = refusal(awslambda.create_function, **zip_of(Tags=tags))
    later = refusal(awslambda.tag_resource, Resource=arn_of(name), Tags=tags)

    for found in (made, later):
        assert (found.code, found.status) == ("ValidationException", 400)
        assert "Member must satisfy regular expression pattern: ([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)" in found.message


def elsewhere(arn: str) -> tuple[str, str]:
    """The same of another Region, and of another account."""
    return arn.replace("us-east-1", "eu-west-1"), arn.replace("123456789012", "210987654321")


@fact("ListTags, TagResource, UntagResource", "know resources of the account and Region only", source=TAGS)
def test_tags_of_other_accounts_and_regions_are_not_found(
    aws: Aws, awslambda: Any, name: str, function: Maker, signing: str
) -> None:
    made = awslambda.create_event_source_mapping(
        FunctionName=function(ECHO), EventSourceArn=queue(aws), Tags={"mine": "1"}
    )
    own = made["EventSourceMappingArn"]
    there = (aws.client("lambda", region="eu-west-1"), aws.client("lambda", key="210987654321"))
    asked = [(awslambda, arn) for each in (own, signing) for arn in elsewhere(each)]
    asked += [(client, arn) for each in (own, signing) for client in there for arn in (each, *elsewhere(each))]
    for client, arn in asked:
        found = [
            refusal(client.list_tags, Resource=arn),
            refusal(client.tag_resource, Resource=arn, Tags={"a": "b"}),
            refusal(client.untag_resource, Resource=arn, TagKeys=["mine"]),
        ]
        assert {(each.code, each.status) for each in found} == {("ResourceNotFoundException", 404)}
    of_functions = [refusal(awslambda.list_tags, Resource=arn) for arn in elsewhere(arn_of(name))]

    assert [found.status for found in of_functions] == [404, 403]
    assert [awslambda.list_tags(Resource=arn)["Tags"] for arn in (own, signing)] == [{"mine": "1"}] * 2


# Versions and policies


@fact(
    "GetFunctionScalingConfig, PutFunctionScalingConfig",
    "of a version that is there",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionScalingConfig.html",
)
def test_a_missing_version_has_no_scaling_config(awslambda: Any, function: Maker) -> None:
    name = function(ECHO, Publish=True)
    config = {"MinExecutionEnvironments": 1}
    asked = refusal(awslambda.get_function_scaling_config, FunctionName=name, Qualifier="77")
    put = refusal(
        awslambda.put_function_scaling_config, FunctionName=name, Qualifier="77", FunctionScalingConfig=config
    )

    for found in (asked, put):
        assert (found.code, found.status) == ("ResourceNotFoundException", 404)
        assert found.message == f"Function not found: {arn_of(name)}:77"
    for qualifier in ("1", "$LATEST.PUBLISHED"):
        awslambda.put_function_scaling_config(FunctionName=name, Qualifier=qualifier, FunctionScalingConfig=config)
        shown = awslambda.get_function_scaling_config(FunctionName=name, Qualifier=qualifier)
        assert shown["RequestedFunctionScalingConfig"] == config


@fact(
    "AddPermission, RemovePermission",
    "another revision is refused, and GetPolicy is said to have the right one",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html",
)
def test_a_policy_of_another_revision_is_refused(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    statement = {"Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    add, remove = awslambda.add_permission, awslambda.remove_permission
    first = refusal(add, FunctionName=name, StatementId="a", RevisionId="other", **statement)
    add(FunctionName=name, StatementId="a", **statement)
    second = refusal(add, FunctionName=name, StatementId="b", RevisionId="other", **statement)
    removed = refusal(remove, FunctionName=name, StatementId="a", RevisionId="other")
    revision = awslambda.get_policy(FunctionName=name)["RevisionId"]
    remove(FunctionName=name, StatementId="a", RevisionId=revision)

    for found in (first, second, removed):
        assert (found.code, found.status) == ("PreconditionFailedException", 412)
        assert found.message == (
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetPolicy API to retrieve the latest Revision Id"
        )


# Event source mappings


def unmapped(awslambda: Any, name: str, stream: str, **settings: Any) -> Refusal:
    given = {"EventSourceArn": stream, "StartingPosition": "LATEST", **settings}
    return refusal(awslambda.create_event_source_mapping, FunctionName=name, **given)


@pytest.mark.parametrize("source", ["kinesis", "msk", "kafka"])
@fact("DestinationConfig.OnSuccess", "is not for mappings", source=MAPPING)
def test_successes_of_mappings_go_nowhere(awslambda: Any, name: str, stream: str, source: str) -> None:
    given = SOURCES.get(source) or {"EventSourceArn": stream, "StartingPosition": "LATEST"}
    found = refusal(
        awslambda.create_event_source_mapping,
        FunctionName=name,
        **given,
        DestinationConfig={"OnSuccess": {"Destination": QUEUE}},
    )

    assert is_refused(found, "Unsupported DestinationConfig parameter for given event source mapping type.")


@pytest.mark.parametrize(
    "arn",
    [arn_of("other"), f"arn:aws:events:{LEAD}:event-bus/default", "kafka://failed"],
    ids=["function", "bus", "kafka"],
)
@fact(
    "DestinationConfig.OnFailure",
    "of a stream is a queue, a topic or a bucket",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_OnFailure.html",
)
def test_failures_of_streams_go_to_queues_topics_and_buckets(
    awslambda: Any, name: str, stream: str, function: Maker, arn: str
) -> None:
    found = unmapped(awslambda, name, stream, DestinationConfig={"OnFailure": {"Destination": arn}})

    assert (found.code, found.status) == ("InvalidParameterValueException", 400)
    assert arn in found.message
    for taken in (QUEUE, TOPIC, "arn:aws:s3:::bucket"):
        made = awslambda.create_event_source_mapping(
            FunctionName=function(ECHO),
            EventSourceArn=stream,
            StartingPosition="LATEST",
            DestinationConfig={"OnFailure": {"Destination": taken}},
        )
        changed = refusal(
            awslambda.update_event_source_mapping,
            UUID=made["UUID"],
            DestinationConfig={"OnFailure": {"Destination": arn}},
        )
        assert made["DestinationConfig"] == {"OnFailure": {"Destination": taken}}
        assert arn in changed.message


@pytest.mark.parametrize("source", ["kinesis", "msk", "kafka", "documentdb"])
@fact("StartingPositionTimestamp", "comes with AT_TIMESTAMP", source=MAPPING)
def test_a_moment_to_start_at_is_asked_for(awslambda: Any, name: str, stream: str, source: str) -> None:
    given = {**(SOURCES.get(source) or {"EventSourceArn": stream}), "StartingPosition": "AT_TIMESTAMP"}
    found = refusal(awslambda.create_event_source_mapping, FunctionName=name, **given)

    assert is_refused(found, "Need to specify a timestamp")


@pytest.mark.parametrize("source", ["kinesis", "msk", "kafka", "documentdb"])
@fact("StartingPositionTimestamp", "is not in the future", source=MAPPING)
def test_a_moment_to_start_at_is_past(awslambda: Any, function: Maker, stream: str, source: str) -> None:
    given = {**(SOURCES.get(source) or {"EventSourceArn": stream}), "StartingPosition": "AT_TIMESTAMP"}
    create, now = awslambda.create_event_source_mapping, time.time()
    found = refusal(create, FunctionName=function(ECHO), **given, StartingPositionTimestamp=now + 3_600)
    made = create(FunctionName=function(ECHO), **given, StartingPositionTimestamp=now - 3_600)

    assert is_refused(found, "StartingPositionTimestamp cannot be in the future.")
    assert made["StartingPosition"] == "AT_TIMESTAMP"


def test_a_moment_of_real_time_is_no_future_under_a_virtual_clock(virtual: Virtual) -> None:
    name, stream = virtual.function(ECHO), unique("stream")
    kinesis = virtual.aws.client("kinesis")
    kinesis.create_stream(StreamName=stream, ShardCount=1)
    moments = (time.time() - 60, own(virtual.aws, "GET", "clock")[1]["now"] - 60)

    for moment in moments:
        made = virtual.aws.client("lambda").create_event_source_mapping(
            FunctionName=name,
            EventSourceArn=f"arn:aws:kinesis:{LEAD}:stream/{stream}",
            StartingPosition="AT_TIMESTAMP",
            StartingPositionTimestamp=moment,
        )
        virtual.aws.client("lambda").delete_event_source_mapping(UUID=made["UUID"])
        virtual.advance(1)


@fact("UpdateEventSourceMapping", "refuses a function that is fed from that source already", source=MAPPING)
def test_a_mapping_is_not_turned_into_a_second_one(aws: Aws, awslambda: Any, function: Maker, stream: str) -> None:
    first, second, source = function(ECHO), function(ECHO), queue(aws)
    create, update = awslambda.create_event_source_mapping, awslambda.update_event_source_mapping
    kept = create(FunctionName=first, EventSourceArn=source)["UUID"]
    moved = create(FunctionName=second, EventSourceArn=source)["UUID"]
    read = create(FunctionName=first, EventSourceArn=stream, StartingPosition="LATEST")["UUID"]
    other = create(FunctionName=second, EventSourceArn=stream, StartingPosition="LATEST")["UUID"]
    of_queue = refusal(update, UUID=moved, FunctionName=first)
    of_stream = refusal(update, UUID=other, FunctionName=first)

    assert {(each.code, each.status) for each in (of_queue, of_stream)} == {("ResourceConflictException", 409)}
    assert of_queue.message == (
        f'An event source mapping with SQS arn (" {source} ") and function (" {first} ") already exists. '
        f"Please update or delete the existing mapping with UUID {kept}"
    )
    assert of_stream.message.endswith(f"existing mapping with UUID {read}")
    assert update(UUID=moved, FunctionName=second)["FunctionArn"] == arn_of(second)
    assert awslambda.get_event_source_mapping(UUID=moved)["FunctionArn"] == arn_of(second)
