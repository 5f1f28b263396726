"""Function URLs.

Function URLs over plain HTTP.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

from lambdaform.local.urls import make_response
from tests.conformance.facts import fact
from tests.local.conftest import Aws, Maker, refusal

ECHO = "def handler(event, context):\n    return event\n"


@attrs.frozen
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(url: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """What a URL answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    connection.request(method, f"{parts.path}{'?' + parts.query if parts.query else ''}", body, dict(headers or {}))
    answer = connection.getresponse()
    found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    connection.close()
    return found


def publish(awslambda: Any, name: str, **settings: Any) -> str:
    """Give a function a URL everybody may call."""
    url = awslambda.create_function_url_config(FunctionName=name, AuthType="NONE", **settings)["FunctionUrl"]
    awslambda.add_permission(
        FunctionName=name,
        StatementId="url",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    awslambda.add_permission(
        FunctionName=name,
        StatementId="function",
        Action="lambda:InvokeFunction",
        Principal="*",
        InvokedViaFunctionUrl=True,
    )
    return url


@fact(
    "request",
    "becomes an event of payload format 2.0",
    source="https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html",
)
def test_a_request_becomes_a_payload_2_event(awslambda: Any, function: Maker) -> None:
    url = publish(awslambda, function(ECHO))

    answer = ask(
        url + "a%20b/c?x=1&x=2&y=",
        "POST",
        b'{"n": 1}',
        {"Content-Type": "application/json", "Cookie": "one=1; two=2", "X-Mine": "v", "User-Agent": "me"},
    )

    event = json.loads(answer.body)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert (event["version"], event["routeKey"], event["rawPath"]) == ("2.0", "$default", "/a%20b/c")
    assert event["rawQueryString"] == "x=1&x=2&y="
    assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert event["cookies"] == ["one=1", "two=2"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"n": 1}', False)
    assert event["headers"]["x-mine"] == "v"
    assert "cookie" not in event["headers"]
    assert event["requestContext"]["http"] == {
        "method": "POST",
        "path": "/a b/c",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "me",
    }


@fact("body", "what is no text is base64", source="https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html")
def test_a_body_that_is_no_text_is_base64(awslambda: Any, function: Maker) -> None:
    url = publish(awslambda, function(ECHO))

    event = json.loads(ask(url, "POST", b"\x00\xff", {"Content-Type": "image/png"}).body)

    assert (base64.b64decode(event["body"]), event["isBase64Encoded"]) == (b"\x00\xff", True)


@fact(
    "host name",
    "`<id>.lambda-url.<region>` is answered",
    here="partly",
    gap="under .localhost and by the Host header, not under on.aws",
    source="https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html",
)
def test_the_host_form_is_answered_too(aws: Aws, awslambda: Any, function: Maker) -> None:
    url_id = publish(awslambda, function(ECHO)).rstrip("/").rpartition("/")[2]

    answer = ask(f"{aws.endpoint}/deep/path", headers={"Host": f"{url_id}.lambda-url.us-east-1.localhost"})

    assert json.loads(answer.body)["rawPath"] == "/deep/path"


@fact(
    "response",
    "a result becomes an answer; what has no statusCode is the body",
    source="https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html",
)
@pytest.mark.parametrize(
    ("result", "status", "body", "kind"),
    [
        ({"statusCode": 201, "body": "made", "headers": {"Content-Type": "text/plain"}}, 201, b"made", "text/plain"),
        ({"statusCode": "418", "body": {"a": 1}}, 418, b'{"a":1}', "application/json"),
        ({"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}, 200, b"\x00\xff", "application/json"),
        ({"statusCode": 204}, 204, b"", "application/json"),
        ("hello", 200, b"hello", "application/json"),
        (["hello", 3, True], 200, b'["hello", 3, true]', "application/json"),
        ({"a": 1}, 200, b'{"a": 1}', "application/json"),
        (None, 200, b"null", "application/json"),
        ({"statusCode": "nonsense"}, 502, b"Internal Server Error", "text/plain"),
        ({"statusCode": 99}, 502, b"Internal Server Error", "text/plain"),
        ({"statusCode": 200, "headers": [1]}, 502, b"Internal Server Error", "text/plain"),
        ({"statusCode": 200, "headers": {"a": {}}}, 502, b"Internal Server Error", "text/plain"),
        ({"statusCode": 200, "body": "?", "isBase64Encoded": True}, 502, b"Internal Server Error", "text/plain"),
    ],
)
def test_a_result_becomes_an_answer(result: Any, status: int, body: bytes, kind: str) -> None:
    answer = make_response(json.dumps(result).encode())

    assert (answer.status, answer.body) == (status, body)
    assert ("Content-Type", kind) in answer.headers


@fact(
    "cookies",
    "are Set-Cookie headers of their own",
    source="https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html",
)
def test_cookies_are_headers_of_their_own() -> None:
    answer = make_response(b'{"statusCode": 200, "cookies": ["a=1", "b=2"]}')

    assert [value for name, value in answer.headers if name == "Set-Cookie"] == ["a=1", "b=2"]


@fact(
    "errors",
    "a failing function answers 502",
    source="https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html",
)
def test_a_failing_function_answers_502(awslambda: Any, function: Maker) -> None:
    url = publish(awslambda, function("def handler(event, context):\n    raise ValueError\n"))

    answer = ask(url)

    assert (answer.status, answer.body) == (502, b"Internal Server Error")


@fact(
    "AuthType NONE",
    "needs both public statements of the policy",
    source="https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html",
)
def test_both_public_statements_are_needed(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    url = publish(awslambda, name)
    awslambda.remove_permission(FunctionName=name, StatementId="function")

    answer = ask(url)

    assert answer.status == 403
    assert json.loads(answer.body)["Message"].startswith("Forbidden. For troubleshooting Function URL authorization")


@fact("unknown URL", "answers 403", source="https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html")
def test_an_unknown_id_is_forbidden(aws: Aws) -> None:
    answer = ask(f"{aws.endpoint}/_lambdaform/url/nothing/")

    assert (answer.status, json.loads(answer.body)) == (403, {"Message": None})


@fact(
    "Cors", "is answered by the service", source="https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html"
)
def test_cors_is_answered_by_the_service(awslambda: Any, function: Maker) -> None:
    headers = {"Access-Control-Allow-Origin": "x"}
    source = f"def handler(event, context):\n    return {{'statusCode': 200, 'headers': {headers}}}\n"
    cors = {"AllowOrigins": ["https://shop.example"], "AllowMethods": ["GET"], "AllowHeaders": ["a"], "MaxAge": 5}
    url = publish(awslambda, function(source), Cors=cors)
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}

    preflight = ask(url, "OPTIONS", headers=asked)
    plain = ask(url, headers={"Origin": "https://shop.example"})
    other = ask(url, headers={"Origin": "https://evil.example"})

    assert preflight.headers["access-control-allow-methods"] == "GET"
    assert preflight.headers["access-control-max-age"] == "5"
    assert plain.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in other.headers


@fact(
    "FunctionUrlConfig",
    "one for a function and one for each alias",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunctionUrlConfig.html",
)
def test_a_url_is_made_changed_listed_and_deleted_once(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)

    created = awslambda.create_function_url_config(FunctionName=name, AuthType="NONE")
    again = refusal(awslambda.create_function_url_config, FunctionName=name, AuthType="NONE")
    updated = awslambda.update_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    listed = awslambda.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]
    awslambda.delete_function_url_config(FunctionName=name)
    missing = refusal(awslambda.get_function_url_config, FunctionName=name)

    assert "InvokeMode" not in created
    assert (again.code, again.status) == ("ResourceConflictException", 409)
    assert (updated["AuthType"], updated["InvokeMode"]) == ("AWS_IAM", "BUFFERED")
    assert [each["FunctionUrl"] for each in listed] == [created["FunctionUrl"]]
    assert missing.message == "The resource you requested does not exist."
    assert ask(created["FunctionUrl"]).status == 403


def test_an_iam_url_wants_a_signature(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    url = awslambda.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")["FunctionUrl"]
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20261120/us-east-1/lambda/aws4_request"}

    assert ask(url).status == 403
    assert ask(url, headers=signed).status == 200
