"""Telemetry.

https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.local.conftest import Aws, Maker, environments, own, payload
from tests.local.programs import REGISTER, TELEMETRY, extensions, heard, lines, said, until

API = "https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html"
REFERENCE = "https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api-reference.html"
SCHEMA = "https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html"
LOGS = "https://docs.aws.amazon.com/lambda/latest/dg/runtimes-logs-api.html"

HANDLER = "def handler(event, context):\n    print('in the function')\n    return 'answer'\n"
ON = "for event in listen(ID):\n    pass\n"
DONE = "attend(ID, 'platform.runtimeDone')\n"
LINE = "attend(ID, 'function')\n"


def listening(aws: Aws, subscription: str, after: str = DONE) -> list[str]:
    """The layers of a function with an extension that subscribes in this way."""
    return extensions(aws, ear=TELEMETRY + REGISTER + subscription + "\n" + after)


def settled(aws: Aws, name: str) -> None:
    until(lambda: all(each["phases"][-1]["phase"] in ("ready", "reset") for each in environments(aws, name)))


def events(aws: Aws, awslambda: Any, name: str, *, invocations: int = 1) -> list[Any]:
    """What an extension has heard after some invocations."""
    for _ in range(invocations):
        awslambda.invoke(FunctionName=name)
        settled(aws, name)
    return heard(aws, name)


def of_type(found: list[Any], kind: str) -> list[Any]:
    return [each["record"] for each in found if each["type"] == kind]


@fact("types", "platform, function and extension, each only where it is subscribed to", source=REFERENCE)
@pytest.mark.parametrize(
    ("types", "expected"),
    [(["function"], {"function"}), (["extension"], {"extension"}), (["platform"], {"platform"})],
)
def test_only_what_is_subscribed_to_is_heard(
    aws: Aws, awslambda: Any, function: Maker, types: list[str], expected: set[str]
) -> None:
    quiet = "print('of the extension', flush=True)\nimport io\nwhole, say = say, (lambda **_: None)\n"
    kept = "kept = []\nsay = lambda **what: kept.extend(what.get('heard', []))\n"
    after = (
        "for event in listen(ID):\n    time.sleep(0.15)\n"
        "    whole(types=sorted({each['type'].partition('.')[0] for each in kept}))\n"
    )
    name = function(HANDLER, Layers=listening(aws, quiet + kept + f"subscribe(ID, types={types})", after))
    awslambda.invoke(FunctionName=name)
    settled(aws, name)

    assert {each for found in said(aws, name, "types") for each in found} == expected


@fact("platform events", "INIT and invocation are told from the beginning of INIT on, in order", source=API)
def test_the_life_of_an_environment_is_told(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, Layers=listening(aws, "subscribe(ID, types=['platform'])"))

    found = events(aws, awslambda, name, invocations=2)

    told = [each["type"] for each in found]
    # The runtime initialises while the extension subscribes.
    assert (
        told.index("platform.initStart")
        < told.index("platform.telemetrySubscription")
        < told.index("platform.extension")
    )
    told.remove("platform.telemetrySubscription")
    assert told == [
        "platform.initStart",
        "platform.initRuntimeDone",
        "platform.extension",
        "platform.initReport",
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
        "platform.start",
        "platform.runtimeDone",
    ]


@fact("platform.report", "comes with the next event, as all is frozen when the last extension is done", source=API)
def test_a_report_comes_with_the_next_event(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, Layers=listening(aws, "subscribe(ID, types=['platform'])"))

    assert of_type(events(aws, awslambda, name), "platform.report") == []
    [report] = of_type(events(aws, awslambda, name), "platform.report")
    assert report["status"] == "success"
    assert set(report["metrics"]) == {
        "durationMs",
        "billedDurationMs",
        "memorySizeMB",
        "maxMemoryUsedMB",
        "initDurationMs",
    }
    [span] = report["spans"]
    assert span["name"] == "extensionOverhead"
    assert 0 < span["durationMs"] < report["metrics"]["durationMs"]


@fact("platform.initStart", "tells the type, the phase and the runtime; the function since 2025-01-29", source=SCHEMA)
@pytest.mark.parametrize(
    ("schema", "more"),
    [
        ("2022-07-01", set[str]()),
        ("2022-12-13", set[str]()),
        ("2025-01-29", {"functionName", "functionVersion", "instanceId", "instanceMaxMemory"}),
    ],
)
def test_the_start_of_init_has_its_fields(
    aws: Aws, awslambda: Any, function: Maker, schema: str, more: set[str]
) -> None:
    name = function(HANDLER, Layers=listening(aws, f"subscribe(ID, schemaVersion='{schema}')"))

    [record] = of_type(events(aws, awslambda, name), "platform.initStart")

    assert set(record) == {"initializationType", "phase", "runtimeVersion", "runtimeVersionArn"} | more
    assert (record["initializationType"], record["phase"]) == ("on-demand", "init")


@fact("platform.initRuntimeDone, platform.initReport", "tell how INIT ended and how long it took", source=SCHEMA)
def test_the_end_of_init_has_its_fields(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, Layers=listening(aws, "subscribe(ID)"))

    found = events(aws, awslambda, name)

    common = {"initializationType": "on-demand", "phase": "init", "status": "success"}
    assert of_type(found, "platform.initRuntimeDone") == [common]
    [report] = of_type(found, "platform.initReport")
    assert report.pop("metrics")["durationMs"] > 0
    assert report == common


@fact("platform.runtimeDone", "comes when the runtime is done, with figures and spans", source=SCHEMA)
def test_the_end_of_the_runtimes_part_has_its_fields(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, Layers=listening(aws, "subscribe(ID)"))

    [record] = of_type(events(aws, awslambda, name), "platform.runtimeDone")

    assert record["status"] == "success"
    assert record["metrics"]["producedBytes"] == len('"answer"')
    assert [each["name"] for each in record["spans"]] == ["responseLatency", "responseDuration", "runtimeOverhead"]
    assert all(set(each) == {"name", "start", "durationMs"} for each in record["spans"])
    total = sum(each["durationMs"] for each in record["spans"])
    assert total == pytest.approx(record["metrics"]["durationMs"], abs=50)  # measured one after the other


@fact("platform.extension, platform.telemetrySubscription", "tell of the extensions themselves", source=SCHEMA)
def test_extensions_are_told_of_themselves(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, Layers=listening(aws, "subscribe(ID)"))

    found = events(aws, awslambda, name)

    assert of_type(found, "platform.extension") == [
        {"name": "ear", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]},
    ]
    assert of_type(found, "platform.telemetrySubscription") == [
        {"name": "ear", "state": "Subscribed", "types": ["platform", "function"]},
    ]


@fact("TELEMETRY", "a subscription is a line in the log", source="https://github.com/DataDog/datadog-lambda-extension")
def test_a_subscription_is_a_line_in_the_log(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, Layers=listening(aws, "subscribe(ID)", ON))
    awslambda.invoke(FunctionName=name)

    assert "TELEMETRY\tName: ear\tState: Subscribed\tTypes: [Platform, Function]\n" in lines(aws, name)


@fact("function", "a line of the function's as text; where its log format is JSON as an object", source=SCHEMA)
@pytest.mark.parametrize(
    ("schema", "log_format", "expected"),
    [
        ("2022-12-13", "Text", '{"level": "INFO"}\n'),
        ("2022-12-13", "JSON", {"level": "INFO"}),
        ("2025-01-29", "JSON", {"level": "INFO"}),
        ("2022-07-01", "JSON", '{"level": "INFO"}\n'),
    ],
)
def test_a_line_of_the_function_is_told(
    aws: Aws, awslambda: Any, function: Maker, schema: str, log_format: str, expected: Any
) -> None:
    source = 'import os\ndef handler(event, context):\n    os.write(1, b\'{"level": "INFO"}\\n\')\n'
    name = function(
        source,
        LoggingConfig={"LogFormat": log_format},
        Layers=listening(aws, f"subscribe(ID, types=['function'], schemaVersion='{schema}')", LINE),
    )

    assert of_type(events(aws, awslambda, name), "function") == [expected]


@fact("destination", "HTTP: POST of an array to sandbox.localdomain, with the path that is asked for", source=API)
def test_events_are_posted_in_an_array(aws: Aws, awslambda: Any, function: Maker) -> None:
    where = "destination={'protocol': 'HTTP', 'URI': f'http://sandbox.localdomain:{PORT}/in/here'}"
    name = function(HANDLER, Layers=listening(aws, f"subscribe(ID, {where})"))
    events(aws, awslambda, name)

    assert set(said(aws, name, "path")) == {"/in/here"}
    assert set(said(aws, name, "method")) == {"POST"}


@fact("destination", "sandbox.localdomain and sandbox are names of the environment itself", source=API)
def test_the_environment_knows_its_own_name(aws: Aws, awslambda: Any, function: Maker) -> None:
    if own(aws, "GET", "health")[1]["isolation"] != "namespaces":
        pytest.skip("this machine does not allow namespaces")
    name = function(
        "import socket\ndef handler(event, context):\n"
        "    return [socket.gethostbyname(each) for each in ('sandbox.localdomain', 'sandbox')]\n"
    )

    assert payload(awslambda.invoke(FunctionName=name)) == ["127.0.0.1", "127.0.0.1"]


@fact("destination", "TCP: one JSON document a line", source=API)
def test_events_are_written_line_by_line(aws: Aws, awslambda: Any, function: Maker) -> None:
    tcp = (
        "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
        "def read():\n"
        "    for line in server.accept()[0].makefile():\n        say(line=json.loads(line))\n"
        "threading.Thread(target=read, daemon=True).start()\n"
        "uri = f'tcp://sandbox.localdomain:{server.getsockname()[1]}'\n"
        "subscribe(ID, types=['function'], destination={'protocol': 'TCP', 'URI': uri})"
    )
    name = function(HANDLER, Layers=listening(aws, tcp))
    awslambda.invoke(FunctionName=name)
    settled(aws, name)

    [event] = said(aws, name, "line")
    assert (event["type"], event["record"]) == ("function", "in the function\n")


@fact("delivery", "what is not taken is sent again", source=API)
def test_a_refused_batch_is_sent_again(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        HANDLER,
        Layers=listening(
            aws,
            "STATUS += [500, 503]\nsubscribe(ID, types=['function'])",
            LINE,
        ),
    )
    awslambda.invoke(FunctionName=name)
    settled(aws, name)

    assert [each["record"] for each in heard(aws, name)] == ["in the function\n"] * 3


@fact("buffering", "a batch is sent after timeoutMs at the latest, and when it is full", source=API)
def test_a_full_batch_does_not_wait(aws: Aws, awslambda: Any, function: Maker) -> None:
    full = "buffering={'maxItems': 1000, 'maxBytes': 262144, 'timeoutMs': 30000}"
    name = function(
        "import os\ndef handler(event, context):\n    os.write(1, b'x\\n' * 1500)\n",
        Layers=listening(
            aws, f"subscribe(ID, types=['function'], {full})", "for event in listen(ID):\n    time.sleep(0.4)\n"
        ),
    )
    awslambda.invoke(FunctionName=name)
    settled(aws, name)

    assert [len(batch) for batch in said(aws, name, "heard")] in ([1000], [1000, 500])


@fact("platform.logsDropped", "what a receiver cannot keep up with is dropped, and it is told how much", source=SCHEMA)
def test_what_is_too_much_is_dropped(aws: Aws, awslambda: Any, function: Maker) -> None:
    slow = (
        "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
        "found = []\n"
        "def read():\n"
        "    connection = server.accept()[0]\n    time.sleep(0.3)\n"
        "    for line in connection.makefile():\n"
        "        each = json.loads(line)\n"
        "        if each['type'] == 'platform.logsDropped':\n            say(dropped=each['record'])\n"
        "threading.Thread(target=read, daemon=True).start()\n"
        "uri = f'tcp://sandbox.localdomain:{server.getsockname()[1]}'\n"
        "subscribe(ID, types=['platform', 'function'], destination={'protocol': 'TCP', 'URI': uri},"
        " buffering={'maxItems': 1000, 'maxBytes': 262144, 'timeoutMs': 25})"
    )
    name = function(
        "import os\ndef handler(event, context):\n"
        "    for _ in range(8):\n        os.write(1, (b'x' * 1000 + b'\\n') * 1000)\n",
        MemorySize=512,
        Timeout=10,
        Layers=listening(aws, slow, "for event in listen(ID):\n    time.sleep(0.9)\n"),
    )
    awslambda.invoke(FunctionName=name)
    record, *_ = until(lambda: said(aws, name, "dropped"))

    assert set(record) == {"droppedBytes", "droppedRecords", "reason"}
    assert record["droppedRecords"] > 0


@fact("Subscribe", 'answers 200 "OK"; needs the identifier of a registered extension: 403', source=REFERENCE)
def test_subscribing_needs_an_extension(aws: Aws, awslambda: Any, function: Maker) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    source = (
        "status, _, body = subscribe(ID)\nsay(fine=[status, body])\n"
        f"status, _, body = subscribe('{unknown}')\nsay(refused=[status, body['errorType']])"
    )
    name = function(HANDLER, Layers=listening(aws, source, ON))
    awslambda.invoke(FunctionName=name)

    assert said(aws, name, "fine") == [[200, "OK"]]
    assert said(aws, name, "refused") == [[403, "Extension.UnknownExtensionIdentifier"]]


@fact("Subscribe", "what is wrong is said at once, as ValidationError", source=REFERENCE)
def test_a_subscription_is_checked(aws: Aws, awslambda: Any, function: Maker) -> None:
    source = (
        "status, _, body = subscribe(ID, types=[], destination={'protocol': 'HTTP', 'URI': 'http://sandbox.localdomain'})\n"
        "say(refused=[status, body])"
    )
    name = function(HANDLER, Layers=listening(aws, source, ON))
    awslambda.invoke(FunctionName=name)

    expected = {"errorType": "ValidationError", "errorMessage": "URI port is not provided; types should not be empty"}
    assert said(aws, name, "refused") == [[400, expected]]


@fact("Subscribe", "schemaVersion, types, host, port and buffering have their limits", source=REFERENCE)
@pytest.mark.parametrize(
    "setting",
    [
        "schemaVersion='2020-01-01'",
        "schemaVersion=None",
        "types=['metrics']",
        "destination={'protocol': 'UDP', 'URI': 'http://sandbox.localdomain:8080'}",
        "destination={'protocol': 'HTTP', 'URI': 'http://example.com:8080'}",
        "destination={'protocol': 'HTTP', 'URI': 'https://sandbox.localdomain:8080'}",
        "destination={'protocol': 'HTTP', 'URI': 'http://sandbox.localdomain:9001'}",
        "buffering={'maxItems': 999}",
        "buffering={'maxBytes': 1048577}",
        "buffering={'timeoutMs': 24}",
    ],
)
def test_a_setting_out_of_its_limits_is_refused(aws: Aws, awslambda: Any, function: Maker, setting: str) -> None:
    name = function(HANDLER, Layers=listening(aws, f"say(status=subscribe(ID, {setting})[0])", ON))
    awslambda.invoke(FunctionName=name)

    assert said(aws, name, "status") == [400]


@fact("Subscribe", "only during INIT", source=API)
def test_nobody_subscribes_after_initialisation(aws: Aws, awslambda: Any, function: Maker) -> None:
    after = "for event in listen(ID):\n    say(status=subscribe(ID)[0])\n"
    name = function(HANDLER, Layers=listening(aws, "", after))
    awslambda.invoke(FunctionName=name)
    settled(aws, name)

    assert said(aws, name, "status") == [403]


@fact(
    "platform events",
    "a repeated INIT is told with phase invoke, an invocation that timed out by its status",
    source=API,
)
def test_a_repeated_init_is_told(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        "import time\ndef handler(event, context):\n    time.sleep(event.get('wait', 0))\n",
        Timeout=1,
        Layers=listening(aws, "subscribe(ID, types=['platform'])"),
    )
    awslambda.invoke(FunctionName=name, Payload=b'{"wait": 5}')
    settled(aws, name)
    awslambda.invoke(FunctionName=name)
    settled(aws, name)

    found = heard(aws, name)
    assert [each["status"] for each in of_type(found, "platform.runtimeDone")] == ["timeout", "success"]
    assert [each["status"] for each in of_type(found, "platform.report")] == ["timeout"]
    assert [each["phase"] for each in of_type(found, "platform.initReport")] == ["init", "invoke"]


@fact("CloudWatch Logs", "has every line, whoever subscribes", source=API)
def test_the_log_has_every_line_still(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, Layers=listening(aws, "subscribe(ID)", ON))
    awslambda.invoke(FunctionName=name)
    settled(aws, name)

    assert "in the function\n" in lines(aws, name)


# The Logs API


def by_logs(schema: str = "2020-08-15", more: str = "") -> str:
    return f"subscribe(ID, '/2020-08-15/logs', schemaVersion='{schema}'{more})"


@fact("Logs API", "platform.start, platform.end and platform.report of invocations; nothing of INIT", source=LOGS)
def test_the_older_api_tells_of_invocations(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, Layers=listening(aws, by_logs(), LINE))

    found = events(aws, awslambda, name, invocations=2)

    assert [each["type"] for each in found] == [
        "platform.logsSubscription",
        "platform.extension",
        "platform.start",
        "function",
        "platform.end",
        "platform.report",
        "platform.start",
        "function",
    ]
    [report] = of_type(found, "platform.report")
    assert set(report) == {"requestId", "metrics"}


@fact("Logs API", "platform.runtimeDone only with schemaVersion 2021-03-18", source=LOGS)
def test_the_older_api_tells_when_the_runtime_is_done(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, Layers=listening(aws, by_logs("2021-03-18")))

    [record] = of_type(events(aws, awslambda, name), "platform.runtimeDone")

    assert record == {"requestId": record["requestId"], "status": "success"}


@fact("Logs API", "delivers by PUT where that is asked for", source=LOGS)
def test_the_older_api_can_put(aws: Aws, awslambda: Any, function: Maker) -> None:
    where = "{'protocol': 'HTTP', 'URI': f'http://sandbox.localdomain:{PORT}', 'method': 'PUT'}"
    name = function(HANDLER, Layers=listening(aws, by_logs(more=f", destination={where}"), LINE))
    events(aws, awslambda, name)

    assert set(said(aws, name, "method")) == {"PUT"}


@fact("Logs API", "errors are Logs.ValidationError", source=LOGS)
def test_the_older_api_names_errors_its_own_way(aws: Aws, awslambda: Any, function: Maker) -> None:
    source = f"status, _, body = {by_logs(more=', types=[]')}\nsay(refused=[status, body['errorType']])"
    name = function(HANDLER, Layers=listening(aws, source, ON))
    awslambda.invoke(FunctionName=name)

    assert said(aws, name, "refused") == [[400, "Logs.ValidationError"]]


@fact("Logs API", "an extension that has subscribed to one of the APIs cannot subscribe to the other", source=API)
def test_an_extension_subscribes_to_one_api_alone(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, Layers=listening(aws, f"subscribe(ID)\nsay(status={by_logs()}[0])", ON))
    awslambda.invoke(FunctionName=name)

    assert said(aws, name, "status") == [400]
