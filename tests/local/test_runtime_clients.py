"""Our small runtime client answers as AWS's does: the same handlers under both, the same answers and log lines."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Generator
from typing import Any

import pytest

from tests.local.conftest import ROLE, Aws, start, stop, unique, zipped
from tests.local.programs import LISTEN, extensions, said, until

SOURCES = {
    "echo": "def handler(event, context):\n    return event\n",
    "raises": "def inner():\n    raise KeyError('a')\ndef handler(event, context):\n    inner()\n",
    "no message": "def handler(event, context):\n    raise ValueError\n",
    "bytes": "def handler(event, context):\n    return b'\\x00raw'\n",
    "no json": "def handler(event, context):\n    return object\n",
    "text": "def handler(event, context):\n    return 'ä'\n",
    "decimals": "import decimal\ndef handler(event, context):\n    return [decimal.Decimal(t) for t in ('1', '2.5')]\n",
    "nan": "def handler(event, context):\n    return float('nan')\n",
    "prints": "def handler(event, context):\n    print('a', end='')\n    print('b\\nc')\n",
    "logs": "import logging\ndef handler(event, context):\n    logging.error('x %s', 1)\n    logging.info('hidden')\n",
    "import fails": "import nothing_like_this\ndef handler(event, context):\n    pass\n",
    "syntax": "def handler(event, context)\n    pass\n",
    "missing": "def other(event, context):\n    pass\n",
    "raises at import": "1 / 0\n",
    "exits": "import sys\ndef handler(event, context):\n    sys.exit(4)\n",
    "identity": (
        "def handler(event, context):\n"
        "    return [context.function_name[:3], context.function_version, context.memory_limit_in_mb,\n"
        "            context.identity.cognito_identity_id, context.client_context, context.tenant_id]\n"
    ),
    "trace": "import os\ndef handler(event, context):\n    return os.environ['_X_AMZN_TRACE_ID'][:5]\n",
}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Generator[Aws]:
    """A local AWS whose handlers run under our own client."""
    process, aws = start(tmp_path_factory.mktemp("own"), "--runtime-client", "own")
    yield aws
    stop(process)


def outcome(aws: Aws, source: str, **settings: Any) -> tuple[Any, ...]:
    """What an invocation comes to, without what differs from one to the next."""
    client = aws.client("lambda")
    name = unique("fn")
    client.create_function(
        **{
            "FunctionName": name,
            "Runtime": "python3.11",
            "Handler": "app.handler",
            "Role": ROLE,
            "Code": {"ZipFile": zipped({"app.py": source})},
            **settings,
        }
    )
    answer = client.invoke(FunctionName=name, Payload=b'{"a": [1, null]}', LogType="Tail")
    request_id = answer["ResponseMetadata"]["RequestId"]
    text = answer["Payload"].read().decode("utf-8", "replace").replace(request_id, "ID")
    log = (
        base64.b64decode(answer["LogResult"]).decode("utf-8", "replace").replace(request_id, "ID").replace(name, "NAME")
    )
    lines = [
        re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", line)
        for line in re.split(r"[\n\r]", log)
        if not re.match(r"REPORT|INIT_REPORT|INIT_START", line)
    ]
    return answer.get("FunctionError"), without_places(text), [without_places(line) for line in lines]


def without_places(text: str) -> str:
    """Without folders: they differ, because only one of the two is run in namespaces; without frames of importing."""
    text = re.sub(r'(?<=File ")[^"]*/(?=[\w<.]+\\?")|/[\w./-]+/(?=app\.py)', "", text)
    if text.startswith("{"):
        document = json.loads(text)
        trace = document.get("stackTrace")
        if trace:
            document["stackTrace"] = [entry for entry in trace if "app.py" in entry]
        return json.dumps(document)
    return text


@pytest.mark.parametrize(("runtime", "text"), [("python3.11", '"\\u00e4"'), ("python3.13", '"ä"')])
def test_text_is_escaped_as_the_declared_runtime_does(aws: Aws, other: Aws, runtime: str, text: str) -> None:
    for each in (aws, other):
        assert outcome(each, SOURCES["text"], Runtime=runtime)[1] == text


@pytest.mark.parametrize("case", SOURCES)
def test_both_clients_come_to_the_same(aws: Aws, other: Aws, case: str) -> None:
    theirs = outcome(aws, SOURCES[case])
    ours = outcome(other, SOURCES[case])

    assert ours[:2] == theirs[:2]
    if "import" not in case and case != "syntax" and case != "missing":  # frames of importing differ
        assert ours[2] == theirs[2]


def test_extensions_go_with_processes_started_one_by_one(other: Aws) -> None:
    client = other.client("lambda")
    name = unique("fn")
    client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": zipped({"app.py": "def handler(event, context):\n    return 1\n"})},
        Layers=extensions(other, one=LISTEN),
    )

    assert json.loads(client.invoke(FunctionName=name)["Payload"].read()) == 1
    client.update_function_configuration(FunctionName=name, Description="new")

    until(lambda: [each["eventType"] for each in said(other, name, "event")] == ["INVOKE", "SHUTDOWN"])
