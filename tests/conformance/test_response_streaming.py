"""Response streaming.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
"""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from lambdaform.local.lambda_.interpreters import node
from tests.conformance.facts import fact
from tests.local.conftest import ROLE, Aws, Maker, payload, unique, zipped
from tests.patience import PATIENCE

STREAMING = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html"
CLIENT = "https://github.com/aws/aws-lambda-nodejs-runtime-interface-client"
pytestmark = pytest.mark.skipif(node() is None, reason="no Node.js on this machine")

SLOWLY = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.write("first");
  await new Promise((done) => setTimeout(done, 300));
  stream.write("second");
  stream.end();
});
"""
PAGE = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const head = { statusCode: 201, headers: { "x-kind": event.rawPath }, cookies: ["a=b"] };
  const out = awslambda.HttpResponseStream.from(stream, head);
  out.write("<p>");
  await new Promise((done) => setTimeout(done, 20));
  out.write("</p>");
  out.end();
});
"""
BREAKS = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.write("half");
  await new Promise((done) => setTimeout(done, 20));
  throw new RangeError("broken");
});
"""


def made(awslambda: Any, source: str, **settings: Any) -> str:
    name = unique()
    code = {"ZipFile": zipped({"index.js": source})}
    settings = {"Runtime": "nodejs22.x", "Timeout": 10, **settings}
    awslambda.create_function(FunctionName=name, Handler="index.handler", Role=ROLE, Code=code, **settings)
    return name


def streaming(body: str) -> str:
    return f"exports.handler = awslambda.streamifyResponse(async (event, stream) => {{ {body} }});"


def url_of(awslambda: Any, name: str) -> str:
    awslambda.add_permission(
        FunctionName=name, StatementId="u", Action="lambda:InvokeFunctionUrl", Principal="*", FunctionUrlAuthType="NONE"
    )
    awslambda.add_permission(
        FunctionName=name, StatementId="f", Action="lambda:InvokeFunction", Principal="*", InvokedViaFunctionUrl=True
    )
    created = awslambda.create_function_url_config(FunctionName=name, AuthType="NONE", InvokeMode="RESPONSE_STREAM")
    return str(created["FunctionUrl"])


def get(url: str, path: str) -> tuple[int, dict[str, str], list[bytes]]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    connection.request("GET", parts.path.rstrip("/") + path)
    answer = connection.getresponse()
    pieces = list[bytes]()
    while piece := answer.read1():
        pieces.append(piece)
    connection.close()
    return answer.status, dict(answer.getheaders()), pieces


@fact("InvokeWithResponseStream", "pieces reach the caller while the function still runs", source=STREAMING)
def test_pieces_come_as_they_are_written(aws: Aws, awslambda: Any) -> None:
    name = made(awslambda, SLOWLY)

    stream = awslambda.invoke_with_response_stream(FunctionName=name)
    events = iter(stream["EventStream"])
    first = next(events)
    running = aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    rest = list(events)

    assert stream["ExecutedVersion"] == "$LATEST"
    assert first["PayloadChunk"]["Payload"] == b"first"
    assert not any(event["message"].startswith("REPORT") for event in running)
    assert [event["PayloadChunk"]["Payload"] for event in rest[:-1]] == [b"second"]
    assert rest[-1] == {"InvokeComplete": {}}


@fact("InvokeWithResponseStream", "what breaks in mid-stream is told at the end", source=STREAMING)
def test_a_break_in_mid_stream_is_told_at_the_end(awslambda: Any) -> None:
    events = list(awslambda.invoke_with_response_stream(FunctionName=made(awslambda, BREAKS))["EventStream"])

    complete = events[-1]["InvokeComplete"]
    assert events[0]["PayloadChunk"]["Payload"] == b"half"
    assert complete["ErrorCode"] == "RangeError"
    assert json.loads(complete["ErrorDetails"])["errorMessage"] == "broken"


@fact("awslambda.streamifyResponse", "a handler that is not async fails", source=CLIENT)
@pytest.mark.parametrize(("runtime", "kind"), [("nodejs22.x", "string"), ("nodejs24.x", "Error")])
def test_a_streaming_handler_that_is_not_async_fails(awslambda: Any, runtime: str, kind: str) -> None:
    source = "exports.handler = awslambda.streamifyResponse((event, stream) => { setTimeout(() => stream.end(), 20) })"

    answer = awslambda.invoke(FunctionName=made(awslambda, source, Runtime=runtime), LogType="Tail")

    error = payload(answer)
    told = "Streaming does not support non-async handlers."
    assert (answer["FunctionError"], error["errorType"], error["errorMessage"]) == ("Unhandled", kind, told)
    assert "\tERROR\tInvoke Error \t{" in base64.b64decode(answer["LogResult"]).decode()


@fact("awslambda.streamifyResponse", "what is written and neither text nor bytes is written as JSON", source=CLIENT)
def test_objects_are_written_as_json(awslambda: Any) -> None:
    name = made(awslambda, streaming("stream.write({ a: [1] }); stream.write(new Uint8Array([65])); stream.end('!')"))

    assert awslambda.invoke(FunctionName=name)["Payload"].read() == b'{"a":[1]}A!'


@fact("awslambda.streamifyResponse", "the content type cannot be set after the first write", source=CLIENT)
def test_a_content_type_that_comes_late_is_refused(awslambda: Any) -> None:
    name = made(
        awslambda,
        streaming(
            "stream.setContentType('text/plain'); stream.write('a');"
            " try { stream.setContentType('text/html') } catch (error) { stream.end(`${error.name} ${error.message}`) }"
        ),
    )

    status, headers, pieces = get(url_of(awslambda, name), "/")

    assert (status, headers["Content-Type"]) == (200, "text/plain")
    assert b"".join(pieces) == b"aRuntime.InvalidStreamingOperation Cannot set content-type, too late."


@fact("awslambda.streamifyResponse", "what the handler returns is ignored, with a warning", source=CLIENT)
def test_what_a_streaming_handler_returns_is_ignored_with_a_warning(awslambda: Any) -> None:
    name = made(awslambda, streaming("stream.end('a'); return 7"))

    answer = awslambda.invoke(FunctionName=name, LogType="Tail")

    assert answer["Payload"].read() == b"a"
    assert "\tWARN\tStreaming handlers ignore return values.\n" in base64.b64decode(answer["LogResult"]).decode()


@fact("awslambda.streamifyResponse", "what is thrown after the end is logged and not told", source=CLIENT)
def test_what_is_thrown_after_the_end_is_only_logged(awslambda: Any) -> None:
    name = made(awslambda, streaming("stream.end('a'); throw new Error('late')"))

    answer = awslambda.invoke(FunctionName=name, LogType="Tail")

    assert (answer.get("FunctionError"), answer["Payload"].read()) == (None, b"a")
    assert (
        '\tInvoke Error \t{"errorType":"Error","errorMessage":"late"' in base64.b64decode(answer["LogResult"]).decode()
    )


@fact("awslambda.streamifyResponse", "a stream that is never ended lasts until the timeout", source=CLIENT)
@pytest.mark.parametrize("body", ["stream.write('half')", "", "await new Promise(() => {})"])
def test_a_stream_that_is_never_ended_times_out(awslambda: Any, body: str) -> None:
    name = made(awslambda, streaming(body), Timeout=1)

    [*_, last] = awslambda.invoke_with_response_stream(FunctionName=name)["EventStream"]

    assert last["InvokeComplete"]["ErrorCode"] == "Sandbox.Timedout"


@fact("InvokeWithResponseStream", "a function that does not stream answers in one piece", source=STREAMING)
def test_a_plain_answer_is_one_piece(awslambda: Any, function: Maker) -> None:
    name = function("def handler(event, context):\n    return {'a': 1}\n")

    events = list(awslambda.invoke_with_response_stream(FunctionName=name)["EventStream"])

    assert [event["PayloadChunk"]["Payload"] for event in events[:-1]] == [b'{"a": 1}']


@fact("Invoke", "a streaming function's answer is collected for callers that do not stream", source=STREAMING)
def test_a_stream_is_collected_for_invoke(awslambda: Any) -> None:
    assert awslambda.invoke(FunctionName=made(awslambda, SLOWLY))["Payload"].read() == b"firstsecond"


@fact(
    "InvokeMode RESPONSE_STREAM",
    "a URL sends status and headers of the prelude, then the body as it comes",
    source=STREAMING,
)
def test_a_url_streams_what_follows_the_prelude(awslambda: Any) -> None:
    url = url_of(awslambda, made(awslambda, PAGE))

    status, headers, pieces = get(url, "/x")

    assert (status, headers["x-kind"], headers["Set-Cookie"]) == (201, "/x", "a=b")
    assert headers["Transfer-Encoding"] == "chunked"
    assert b"".join(pieces) == b"<p></p>"
    assert len(pieces) > 1


@fact("InvokeMode RESPONSE_STREAM", "without a prelude the stream is the body", source=STREAMING)
def test_a_url_streams_plain_pieces(awslambda: Any) -> None:
    status, headers, pieces = get(url_of(awslambda, made(awslambda, SLOWLY)), "/")

    assert (status, headers["Content-Type"], pieces) == (200, "application/octet-stream", [b"first", b"second"])


@fact(
    "Runtime API",
    "an unknown response mode is refused with InvalidFunctionResponseMode",
    source="https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html",
)
def test_an_unknown_response_mode_is_refused(awslambda: Any, function: Maker) -> None:
    source = (
        "import http.client, os\n"
        "def handler(event, context):\n"
        "    api = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])\n"
        "    headers = {'Lambda-Runtime-Function-Response-Mode': 'trickle'}\n"
        "    path = f'/2018-06-01/runtime/invocation/{context.aws_request_id}/response'\n"
        "    api.request('POST', path, b'1', headers)\n"
        "    answer = api.getresponse()\n"
        "    return [answer.status, answer.read().decode()]\n"
    )

    status, body = payload(awslambda.invoke(FunctionName=function(source)))

    assert (status, json.loads(body)["errorType"]) == (400, "InvalidFunctionResponseMode")
