"""AWS's protocols from the server's side, each checked against botocore's own client side where it has one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from lambdaform.local import models, protocol
from lambdaform.local.door import destination
from lambdaform.local.http import Request, Response
from lambdaform.local.ports import AwsFault


def parsed(service: str, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> protocol.Parsed:
    return protocol.parse(models.model(service), Request(method, target, dict(headers), body))


def fault(service: str, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> AwsFault:
    with pytest.raises(AwsFault) as caught:
        parsed(service, method, target, headers, body)
    return caught.value


BODY_OF_HALF_A_PAIR = rb'{"QueueUrl": "http://localhost/123456789012/q", "MessageBody": "\ud800"}'


def content(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


def test_an_arn_in_a_path_is_one_label_although_it_has_slashes() -> None:
    arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Acode-signing-config%3Acsc-" + "a" * 17

    found = parsed("lambda", "GET", f"/2020-04-22/code-signing-configs/{arn}", {})

    assert found.operation.name == "GetCodeSigningConfig"
    assert found.params["CodeSigningConfigArn"].endswith(":csc-" + "a" * 17)


def test_paths_that_differ_only_by_query_are_told_apart() -> None:
    arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Alayer%3Al%3A1"

    by_arn = parsed("lambda", "GET", f"/2018-10-31/layers?find=LayerVersion&Arn={arn}", {})
    listed = parsed("lambda", "GET", "/2018-10-31/layers?MaxItems=3", {})
    all_configs = parsed("lambda", "GET", "/2019-09-30/functions/f/provisioned-concurrency?List=ALL", {})

    assert (by_arn.operation.name, listed.operation.name) == ("GetLayerVersionByArn", "ListLayers")
    assert listed.params == {"MaxItems": 3}
    assert all_configs.operation.name == "ListProvisionedConcurrencyConfigs"


def test_an_invocation_takes_its_body_as_it_is() -> None:
    found = parsed(
        "lambda", "POST", "/2015-03-31/functions/f/invocations?Qualifier=live", {"x-amz-log-type": "Tail"}, b"\xff{"
    )

    assert found.params == {"FunctionName": "f", "Qualifier": "live", "LogType": "Tail", "Payload": b"\xff{"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_document_with_what_only_python_calls_a_number_is_not_json(number: str) -> None:
    body = f'{{"Timeout": {number}}}'.encode()
    target = {"x-amz-target": "AWSEvents.PutEvents"}

    of_lambda = fault("lambda", "PUT", "/2015-03-31/functions/f/configuration", {}, body)
    of_others = fault("events", "POST", "/", target, body)

    assert (of_lambda.code, of_lambda.status) == ("InvalidRequestContentException", 400)
    assert of_lambda.message == f"Could not parse request body into json: {number} is not JSON"
    assert (of_others.code, of_others.status) == ("SerializationException", 400)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400])
def test_numbers_that_are_too_large_to_be_any_are_refused(number: str) -> None:
    refused = fault("lambda", "PUT", "/2015-03-31/functions/f/configuration", {}, f'{{"Timeout": {number}}}'.encode())

    assert (refused.code, refused.message) == (
        "SerializationException",
        "NUMBER_VALUE can not be converted to an Integer",
    )


@pytest.mark.parametrize("time", ["1e400", "9" * 400, "1e300", '"nan"', '"1e300"', '"yesterday"'])
def test_what_is_no_time_is_refused(time: str) -> None:
    body = f'{{"FunctionName": "f", "StartingPositionTimestamp": {time}}}'.encode()

    assert fault("lambda", "POST", "/2015-03-31/event-source-mappings", {}, body).code == "SerializationException"


@pytest.mark.parametrize("blob", ['"é"', '"no base64"', '"YQ"'])
def test_what_is_not_base64_is_refused(blob: str) -> None:
    refused = fault("lambda", "PUT", "/2015-03-31/functions/f/code", {}, f'{{"ZipFile": {blob}}}'.encode())

    assert (refused.code, refused.message) == ("SerializationException", "Invalid Base64 encoding")


@pytest.mark.parametrize(
    "settings",
    ['"Description": "a\\ud800b"', '"Environment": {"Variables": {"a\\udc00": "b"}}'],
    ids=["text", "key"],
)
def test_half_a_surrogate_pair_is_no_text(settings: str) -> None:
    refused = fault("lambda", "PUT", "/2015-03-31/functions/f/configuration", {}, f"{{{settings}}}".encode())

    assert (refused.code, refused.status) == ("SerializationException", 400)


def test_a_whole_surrogate_pair_is_a_character() -> None:
    found = parsed("lambda", "PUT", "/2015-03-31/functions/f/configuration", {}, rb'{"Description": "\ud83d\ude00"}')

    assert found.params["Description"] == "\U0001f600"


def test_a_message_says_itself_which_characters_it_holds() -> None:
    found = parsed("sqs", "POST", "/", {"x-amz-target": "AmazonSQS.SendMessage"}, BODY_OF_HALF_A_PAIR)

    assert found.params["MessageBody"] == "\ud800"


@pytest.mark.parametrize(
    "character", ["a", "Z", "é", "漢", "ʰ", "7", "９", "½", "Ⅻ", " ", "\u3000", "\u2028", "_", "@"]
)
def test_letters_numbers_and_separators_of_every_script_are_in_a_tag(character: str) -> None:
    regex = models.model("lambda").shape("TagKey").regex

    assert regex is not None
    assert regex.fullmatch(f"k{character}k")


@pytest.mark.parametrize("character", ["{", "!", "\t", "\n", "́", "\U0001f600", "€", "·", "‿", "\u200b"])
def test_other_characters_are_not_in_a_tag(character: str) -> None:
    regex = models.model("lambda").shape("TagKey").regex

    assert regex is not None
    assert not regex.fullmatch(f"k{character}k")


def test_nulls_and_unknown_members_are_absent() -> None:
    found = parsed(
        "lambda",
        "PUT",
        "/2015-03-31/functions/f/configuration",
        {},
        b'{"Timeout": null, "Nonsense": 1, "MemorySize": 256}',
    )

    assert found.params == {"FunctionName": "f", "MemorySize": 256}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{nope", "InvalidRequestContentException"),
        (b"[]", "SerializationException"),
        (b'{"Timeout": "3"}', "SerializationException"),
        (b'{"Environment": []}', "SerializationException"),
        (b'{"Timeout": true}', "SerializationException"),
        (b"[" * 100_000, "InvalidRequestContentException"),
    ],
)
def test_bodies_that_make_no_sense_are_refused(body: bytes, code: str) -> None:
    assert fault("lambda", "PUT", "/2015-03-31/functions/f/configuration", {}, body).code == code


def test_a_missing_member_is_null_in_the_message() -> None:
    refused = fault("lambda", "POST", "/2015-03-31/functions/f/aliases", {}, b'{"Name": "a"}')

    assert refused.code == "ValidationException"
    assert refused.message == (
        "1 validation error detected: Value null at 'functionVersion' failed to satisfy constraint: "
        "Member must not be null"
    )


def test_rest_answers_put_members_where_the_model_wants_them() -> None:
    model = models.model("lambda")
    found = parsed("lambda", "POST", "/2015-03-31/functions/f/invocations", {})

    answer = protocol.answer(
        model, found, {"StatusCode": 202, "Payload": b"x", "ExecutedVersion": "1", "FunctionError": None}, "id-1"
    )

    headers = dict(answer.headers)
    assert (answer.status, answer.body) == (202, b"x")
    assert headers["X-Amz-Executed-Version"] == "1"
    assert "X-Amz-Function-Error" not in headers
    assert headers["x-amzn-RequestId"] == "id-1"


def test_a_member_the_model_lacks_is_a_bug_not_an_answer() -> None:
    model = models.model("lambda")
    found = parsed("lambda", "GET", "/2016-08-19/account-settings/", {})

    with pytest.raises(TypeError, match="Nonsense"):
        protocol.answer(model, found, {"Nonsense": 1}, "id")


def test_a_rest_fault_names_its_message_as_its_shape_does() -> None:
    model = models.model("lambda")

    missing = protocol.refuse(model, "rest-json", AwsFault("ResourceNotFoundException", "gone", status=404), "id")
    invalid = protocol.refuse(model, "rest-json", AwsFault("InvalidParameterValueException", "no"), "id")

    assert (missing.status, content(missing)) == (404, '{"Type":"User","Message":"gone"}')
    assert (invalid.status, content(invalid)) == (400, '{"Type":"User","message":"no"}')
    assert dict(missing.headers)["x-amzn-ErrorType"] == "ResourceNotFoundException"


def test_sqs_speaks_json_and_query() -> None:
    target = {"x-amz-target": "AmazonSQS.SendMessage"}
    url = "http://localhost/123456789012/q"
    as_json = parsed(
        "sqs",
        "POST",
        "/",
        target,
        json.dumps(
            {
                "QueueUrl": url,
                "MessageBody": "b",
                "MessageAttributes": {"n": {"DataType": "Binary", "BinaryValue": "AAE="}},
            }
        ).encode(),
    )
    as_query = parsed(
        "sqs",
        "POST",
        "/",
        {"content-type": "application/x-www-form-urlencoded"},
        b"Action=SendMessage&Version=2012-11-05&QueueUrl=http%3A%2F%2Flocalhost%2F123456789012%2Fq&MessageBody=b"
        b"&MessageAttribute.1.Name=n&MessageAttribute.1.Value.DataType=Binary&MessageAttribute.1.Value.BinaryValue=AAE%3D",
    )

    expected: dict[str, Any] = {
        "QueueUrl": url,
        "MessageBody": "b",
        "MessageAttributes": {"n": {"DataType": "Binary", "BinaryValue": b"\x00\x01"}},
    }
    assert as_json.params == expected
    assert {key: value for key, value in as_query.params.items() if key != "MessageAttributes"} == {
        "QueueUrl": url,
        "MessageBody": "b",
    }
    assert (as_json.style, as_query.style) == ("json", "query")


def test_a_missing_parameter_of_sqs_is_worded_as_sqs_does() -> None:
    refused = fault("sqs", "POST", "/", {"x-amz-target": "AmazonSQS.SendMessage"}, b'{"QueueUrl": "x"}')

    assert refused.message == "The request must contain the parameter MessageBody."


def test_an_sqs_fault_carries_its_old_code_in_a_header() -> None:
    answer = protocol.refuse(models.model("sqs"), "json", AwsFault("QueueDoesNotExist", "gone"), "id")

    assert json.loads(content(answer)) == {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "gone"}
    assert dict(answer.headers)["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"


def test_sns_takes_lists_and_maps_out_of_a_form_and_answers_xml() -> None:
    model = models.model("sns")
    found = parsed(
        "sns",
        "POST",
        "/",
        {"content-type": "application/x-www-form-urlencoded"},
        b"Action=CreateTopic&Version=2010-03-31&Name=t&Attributes.entry.1.key=FifoTopic&Attributes.entry.1.value=true"
        b"&Tags.member.1.Key=a&Tags.member.1.Value=1&Tags.member.2.Key=b&Tags.member.2.Value=2",
    )

    answer = protocol.answer(model, found, {"TopicArn": "arn:<&>"}, "id-1")

    assert found.params == {
        "Name": "t",
        "Attributes": {"FifoTopic": "true"},
        "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}],
    }
    assert content(answer) == (
        '<CreateTopicResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><CreateTopicResult>'
        "<TopicArn>arn:&lt;&amp;&gt;</TopicArn></CreateTopicResult>"
        "<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></CreateTopicResponse>"
    )


def test_an_unknown_action_is_refused_in_the_services_own_shape() -> None:
    refused = fault("sns", "POST", "/", {}, b"Action=Nonsense&Version=2010-03-31")

    assert (refused.code, refused.status) == ("InvalidAction", 400)


@pytest.mark.parametrize(
    ("request_", "service"),
    [
        (
            Request(
                "GET", "/", {"authorization": "AWS4-HMAC-SHA256 Credential=AK/20261120/eu-west-1/sns/aws4_request, x"}
            ),
            "sns",
        ),
        (Request("GET", "/b/k?X-Amz-Credential=AK%2F20261120%2Feu-west-1%2Fs3%2Faws4_request", {}), "s3"),
        (Request("POST", "/", {"x-amz-target": "AmazonSQS.SendMessage"}), "sqs"),
        (Request("POST", "/", {"x-amz-target": "AWSEvents.PutEvents"}), "events"),
        (Request("POST", "/2015-03-31/functions/f/invocations", {}), "lambda"),
        (Request("GET", "/schedules/s", {}), "scheduler"),
        (Request("GET", "/", {"host": "sns.us-east-1.amazonaws.com"}), "sns"),
        (
            Request("POST", "/", {"content-type": "application/x-www-form-urlencoded"}, b"Action=X&Version=2012-11-05"),
            "sqs",
        ),
        (Request("GET", "/bucket/key", {}), "s3"),
    ],
)
def test_the_door_knows_whose_a_request_is(request_: Request, service: str) -> None:
    assert destination(request_, region="us-east-1").service == service


def test_region_and_account_come_from_the_signature() -> None:
    headers = {"authorization": "AWS4-HMAC-SHA256 Credential=210987654321/20261120/eu-west-1/sqs/aws4_request, x"}

    where = destination(Request("POST", "/", headers), region="us-east-1")

    assert (where.region, where.account) == ("eu-west-1", "210987654321")
