"""Our small runtime client answers as AWS's does: the same handlers under both, the same answers and log lines."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any

import pytest

from tests.local.conftest import ROLE, Aws, start, stop, unique, zipped
from tests.local.programs import LISTEN, extensions, lines, said, until

SOURCES = {
    "echo": "def handler(event, context):\n    return event\n",
    "raises": "def inner():\n    raise KeyError('a')\ndef handler(event, context):\n    inner()\n",
    "no message": "def handler(event, context):\n    raise ValueError\n",
    "bytes": "def handler(event, context):\n    return b'\\x00raw'\n",
    "no json": "def handler(event, context):\n    return object\n",
    "text": "def handler(event, context):\n    return 'ä'\n",
    "decimals": "import decimal\ndef handler(event, context):\n    return [decimal.Decimal(t) for t in ('1', '2.5')]\n",
    "digits": (
        "from decimal import Decimal\n"
        "def handler(event, context):\n"
        "    texts = '1.10', '1E+3', '-0', '0.1234567890123456789012345', 'NaN', 'Infinity'\n"
        "    return {'in': [Decimal(text) for text in texts], 'alone': Decimal('7.0')}\n"
    ),
    "named tuple": (
        "import collections\n"
        "Pair = collections.namedtuple('Pair', 'x y')\n"
        "def handler(event, context):\n"
        "    return [Pair(1, Pair((2, 'ä'), None)), (), [], {}]\n"
    ),
    "as dictionary": (
        "class Row:\n    def _asdict(self):\n        return {'n': 1}\ndef handler(event, context):\n    return Row()\n"
    ),
    "keys": (
        "import enum\n"
        "class Number(enum.IntEnum):\n    TWO = 2\n"
        "class Text(str, enum.Enum):\n    A = 'a'\n"
        "def handler(event, context):\n"
        "    return {1: 1, None: Number.TWO, 1.5: Text.A, Number.TWO: True, Text.A: b'text', b'b': 0, False: 1e300}\n"
    ),
    "no key": "def handler(event, context):\n    return {(1, 2): 3}\n",
    "circle": "def handler(event, context):\n    event['a'] = [event]\n    return event\n",
    "twice": "def handler(event, context):\n    return [event, event]\n",
    "a set": "def handler(event, context):\n    return [{1}]\n",
    "a class": "def handler(event, context):\n    return dict\n",
    "no text": "def handler(event, context):\n    return [b'\\xff']\n",
    "controls": "def handler(event, context):\n    return '\\x00\\x1f\\x7f\\u2028\\\\\"/'\n",
    "raises text": "def handler(event, context):\n    raise ValueError('ä\\n b')\n",
    "nan": "def handler(event, context):\n    return float('nan')\n",
    "prints": "def handler(event, context):\n    print('a', end='')\n    print('b\\nc')\n",
    "logs": "import logging\ndef handler(event, context):\n    logging.error('x %s', 1)\n    logging.info('hidden')\n",
    "logs exceptions": (
        "import logging\n"
        "def handler(event, context):\n"
        "    for name in 'ab':\n"
        "        try:\n"
        "            1 / 0\n"
        "        except ZeroDivisionError:\n"
        "            logging.exception(name, extra={'what': [name]})\n"
        "        print('after')\n"
    ),
    "logs none": "import logging\ndef handler(event, context):\n    logging.exception('x')\n",
    "logs wrongly": "import logging\ndef handler(event, context):\n    logging.error('%d', 'x')\n",
    "logs at levels": (
        "import logging\n"
        "logging.error('early')\n"
        "def handler(event, context):\n"
        "    for level in (5, 20, 25, 31, 50, 70):\n"
        "        extra = {'requestId': 1, 'taskName': 't', 'e': 'ä'}\n"
        "        logging.getLogger('a.b').log(level, {'level': level}, extra=extra)\n"
    ),
    "logs by context": "def handler(event, context):\n    context.log('a')\n    context.log(['b', 1])\n",
    "logs by context alone": (
        "import logging\n"
        "logging.getLogger().handlers.clear()\n"
        "def handler(event, context):\n"
        "    context.log('a')\n"
        "    context.log('b\\n')\n"
    ),
    "logs local time": (
        "import logging, os, time\n"
        "os.environ['TZ'] = 'Asia/Tokyo'\n"
        "time.tzset()\n"
        "def handler(event, context):\n"
        "    return logging.Formatter().formatTime(logging.makeLogRecord({'created': 0.0, 'msecs': 0.0}))\n"
    ),
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
    answer = client.invoke(FunctionName=name, Payload=b'{"a": [1, null]}')
    request_id = answer["ResponseMetadata"]["RequestId"]
    text = answer["Payload"].read().decode("utf-8", "replace").replace(request_id, "ID")
    events = [
        re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", each.replace(request_id, "ID").replace(name, "NAME"))
        for each in lines(aws, name)
        if not re.match(r"REPORT|INIT_REPORT|INIT_START|\{\"time\"", each)
    ]
    return answer.get("FunctionError"), without_places(text), [without_places(each) for each in events]


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
    if case not in ("raises at import", "logs wrongly"):  # frames of the client are among what is logged
        assert ours[2] == theirs[2]


@pytest.mark.parametrize("case", SOURCES)
@pytest.mark.parametrize("runtime", ["python3.11", "python3.14"])
def test_both_clients_log_the_same_json(aws: Aws, other: Aws, case: str, runtime: str) -> None:
    logging = {"LogFormat": "JSON", "ApplicationLogLevel": "TRACE", "SystemLogLevel": "WARN"}

    theirs = outcome(aws, SOURCES[case], Runtime=runtime, LoggingConfig=logging)
    ours = outcome(other, SOURCES[case], Runtime=runtime, LoggingConfig=logging)

    assert ours[:2] == theirs[:2]
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
