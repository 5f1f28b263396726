"""Python's log.

What print and logging write, under AWS's runtime client and under our own: it runs the other versions of Python.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from lambdaform.local.lambda_.interpreters import pythons
from tests.conformance.facts import fact
from tests.local.conftest import Aws, Maker, payload, until
from tests.local.programs import LISTEN, extensions, layer

LOGS = "https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html"
CLIENT = "https://github.com/aws/aws-lambda-python-runtime-interface-client/blob/main/awslambdaric/bootstrap.py"
LAYOUT = "https://github.com/aws/aws-lambda-python-runtime-interface-client/blob/main/awslambdaric/lambda_runtime_log_utils.py"
OTHERS = [f"python{version}" for version in sorted(pythons()) if version in ("3.12", "3.13", "3.14")]
RUNTIMES = ["python3.11", *OTHERS]
"""The first one is under AWS's client where the local AWS runs under that version, the others are under our own."""
IN_JSON = {"LogFormat": "JSON"}
PLATFORM = re.compile(r"(INIT_START|INIT_REPORT|RESTORE_\w+|START|END|REPORT|EXTENSION)\b|\{\"time\"")

RECORDS = """
import logging
def handler(event, context):
    print("one\\ntwo")
    for name in ("a", "b"):
        try:
            1 / 0
        except ZeroDivisionError:
            logging.exception(name)
    print("after")
"""


def events(aws: Aws, name: str) -> list[str]:
    """What a function has logged itself, event by event."""
    logs = aws.client("logs")
    group = f"/aws/lambda/{name}"
    return [
        event["message"]
        for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]
        for event in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)[
            "events"
        ]
        if not PLATFORM.match(event["message"])
    ]


def logged(aws: Aws, function: Maker, body: str, runtime: str, event: Any = None, **settings: Any) -> list[str]:
    """What a function logs itself for one event; `body` is its module, or its handler's body."""
    if "def handler" not in body:
        body = "import json, logging\ndef handler(event, context):\n" + "".join(
            f"    {line}\n" for line in body.splitlines()
        )
    name = function(body, Runtime=runtime, **{"Timeout": 20, **settings})
    client = aws.client("lambda")
    tenant = {"TenantId": "blue"} if "TenancyConfig" in settings else {}
    client.invoke(FunctionName=name, Payload=json.dumps(event).encode(), **tenant)
    return events(aws, name)


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact("logging", "a record is one log event, with its line breaks; what print writes is one a line", source=CLIENT)
def test_a_record_is_one_event_and_a_printed_line_another(aws: Aws, function: Maker, runtime: str) -> None:
    one, two, *records, after = logged(aws, function, RECORDS, runtime)

    assert [one, two, after] == ["one\n", "two\n", "after\n"]
    assert [re.findall(r"^\[ERROR\]\t\S+Z\t[\w-]{36}\t(\w)\nTraceback", record) for record in records] == [["a"], ["b"]]
    assert all(record.endswith("\nZeroDivisionError: division by zero\n") for record in records)


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact(
    "logging",
    "what the handler raises is one log event",
    here="partly",
    gap="which ends as a line does; in AWS it does not, and END follows on its last line in the tail",
    source=CLIENT,
)
def test_what_is_raised_is_one_event(aws: Aws, function: Maker, runtime: str) -> None:
    assert logged(aws, function, "raise ValueError('x\\ny')", runtime) == [
        "[ERROR] ValueError: x\ny\nTraceback (most recent call last):\n"
        '\xa0\xa0File "/var/task/app.py", line 3, in handler\n'
        "\xa0\xa0\xa0\xa0raise ValueError('x\\ny')\n"
    ]


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact("logging", "what is raised before there is a handler comes after a warning", source=CLIENT)
def test_a_failed_import_is_warned_of(aws: Aws, function: Maker, runtime: str) -> None:
    warning, error, *_ = logged(aws, function, "import nothing_like_it\ndef handler(event, context): ...\n", runtime)

    assert re.match(r"\[WARNING\]\t\S+Z\t\tLAMBDA_WARNING: Unhandled exception\. .*-update\.html\r\n$", warning)
    assert error.startswith("[ERROR] Runtime.ImportModuleError: Unable to import module 'app'")


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact("logging", "`context.log` writes an event as it is", source=CLIENT.replace("bootstrap", "lambda_context"))
def test_the_context_logs(aws: Aws, function: Maker, runtime: str) -> None:
    assert logged(aws, function, "context.log('a\\nb')\ncontext.log({'c': 1})", runtime) == ["a\nb\n", "{'c': 1}\n"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact("LogFormat JSON", "a record with an exception says its type, message, place and trace", source=LAYOUT)
def test_an_exception_is_spelled_out_in_json(aws: Aws, function: Maker, runtime: str) -> None:
    source = RECORDS.replace('print("one\\ntwo")', "").replace('print("after")', "")

    first, _ = logged(aws, function, source, runtime, LoggingConfig=IN_JSON)

    found = json.loads(first)
    [trace] = found.pop("stackTrace")
    assert trace.startswith('  File "/var/task/app.py", line 7, in handler\n    1 / 0\n')
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.pop("timestamp"))
    assert len(found.pop("requestId")) == 36
    assert found == {
        "level": "ERROR",
        "message": "a",
        "logger": "root",
        "errorType": "ZeroDivisionError",
        "errorMessage": "division by zero",
        "location": "/var/task/app.py:handler:9",
    }


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact(
    "LogFormat JSON",
    "what a record is given beside its message is there by its own name, but for what is reserved",
    source=LAYOUT,
)
def test_extras_have_keys_of_their_own(aws: Aws, function: Maker, runtime: str) -> None:
    body = "logging.warning('m', extra={'order': {'id': 7}, 'what': {1}, 'none': None, 'level': 'mine'})"

    [line] = logged(aws, function, body, runtime, LoggingConfig=IN_JSON)

    found = json.loads(line)
    assert (found["order"], found["what"], found["level"]) == ({"id": 7}, "{1}", "WARNING")
    assert "none" not in found
    assert list(found) == ["timestamp", "level", "message", "logger", "requestId", "order", "what"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("{'a': [1, {2}], 'b': 'ä'}", '{"a": [1, "{2}"], "b": "ä"}'),
        ("['a', 1]", "\"['a', 1]\""),
        ("'%s of %s', 1, 2", '"1 of 2"'),
        ("'%(a)s', {'a': 1}", '"1"'),
        ("'ä \\u2028 \\n'", '"ä \u2028 \\n"'),
    ],
)
@fact("LogFormat JSON", "a message that is an object stays one; what is not ASCII is not escaped", source=LAYOUT)
def test_a_message_keeps_its_kind(aws: Aws, function: Maker, runtime: str, message: str, found: str) -> None:
    [line] = logged(aws, function, f"logging.error({message})", runtime, LoggingConfig=IN_JSON)

    assert f'"message": {found}, "logger": "root"' in line


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact("LogFormat JSON", "records of a function with tenants name the tenant", source=LAYOUT)
def test_records_name_the_tenant(aws: Aws, function: Maker, runtime: str) -> None:
    tenants = {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}}

    [line] = logged(aws, function, "logging.error('m')", runtime, LoggingConfig=IN_JSON, **tenants)

    assert json.loads(line)["tenantId"] == "blue"


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact("logging", "a layout of one's own may have the request", source=CLIENT)
def test_a_layout_of_ones_own_has_the_request(aws: Aws, function: Maker, runtime: str) -> None:
    body = (
        "layout = logging.Formatter('<%(aws_request_id)s> %(message)s')\n"
        "logging.getLogger().handlers[0].setFormatter(layout)\n"
        "logging.error('a\\nb')\n"
        "logging.error(context.aws_request_id)\n"
    )

    first, second = logged(aws, function, body, runtime)

    request = second.split()[1]
    assert [first, second] == [f"<{request}> a\nb\n", f"<{request}> {request}\n"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact("logging", "a record that cannot be formatted fails where it is made", source=CLIENT)
def test_a_record_that_cannot_be_formatted_is_an_error(aws: Aws, function: Maker, runtime: str) -> None:
    [error] = logged(aws, function, "logging.error('%d', 'x')", runtime)

    assert error.startswith("[ERROR] TypeError: %d format: a")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_record_longer_than_an_event_is_cut(aws: Aws, function: Maker, runtime: str) -> None:
    found = logged(aws, function, "logging.error('ab\\n' * 200_000)\nprint('after')", runtime)

    assert [len(each) for each in found[:-2]] == [262_144, 262_144]
    assert "".join(found[:-1]).partition("\tab\n")[2] == "ab\n" * 199_999 + "\n"
    assert found[-1] == "after\n"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_many_records_come_whole(aws: Aws, function: Maker, runtime: str) -> None:
    body = "for number in range(700):\n    logging.error('%d\\n%s', number, 'ä' * 300)\n    print(number)"

    found = [each.rpartition("\t")[2] for each in logged(aws, function, body, runtime)]

    assert found == [each for n in range(700) for each in (f"{n}\n{'ä' * 300}\n", f"{n}\n")]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_records_of_threads_and_forks_come_whole(aws: Aws, function: Maker, runtime: str) -> None:
    source = """
import logging, os, threading
def work(name):
    for _ in range(20):
        logging.error("%s\\n%s", name, name * 3000)
def handler(event, context):
    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    pid = os.fork()
    if pid == 0:
        work("c")
        os._exit(0)
    os.waitpid(pid, 0)
    for thread in threads:
        thread.join()
"""
    found = [each.rpartition("\t")[2] for each in logged(aws, function, source, runtime)]

    assert sorted(found) == [f"{name}\n{name * 3000}\n" for name in "abc" for _ in range(20)]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("head", "read"),
    [
        ("a55a0003ffffffff0000000000000000", ["x\ny\nz\n"]),
        ("a55a0003000000010000000000000000", ["x\n", "\n", "y\n", "z\n"]),
        ("a55a0003000000000000000000000000", ["x\n", "y\n", "z\n"]),
        ("a55a0004000000010000000000000000", None),
        ("a55a", None),
    ],
)
def test_what_only_looks_like_a_record_costs_line_breaks_at_most(
    aws: Aws, function: Maker, runtime: str, head: str, read: list[str] | None
) -> None:
    source = (
        "import os\n"
        "def handler(event, context):\n"
        "    if event:\n"
        f"        os.write(1, bytes.fromhex('{head}') + b'x\\ny\\nz\\n')\n"
        "    else:\n"
        "        print('1\\n2')\n"
    )
    name = function(source, Runtime=runtime, Timeout=20)
    client = aws.client("lambda")

    for event in (b"1", b"0"):
        client.invoke(FunctionName=name, Payload=event)
    *found, one, two = events(aws, name)

    assert found == (read or [f"{bytes.fromhex(head).decode(errors='replace')}x\n", "y\n", "z\n"])
    assert [one, two] == ["1\n", "2\n"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_handler_that_closes_what_is_open_does_no_harm(aws: Aws, function: Maker, runtime: str) -> None:
    name = function(
        "import logging, os\n"
        "def handler(event, context):\n"
        "    if event:\n"
        "        os.closerange(3, 1024)\n"
        "        logging.error('lost?')\n"
        "    logging.error('a\\nb')\n"
        "    return 1\n",
        Runtime=runtime,
        Timeout=20,
    )
    client = aws.client("lambda")

    client.invoke(FunctionName=name, Payload=b"1")

    assert payload(client.invoke(FunctionName=name, Payload=b"0")) == 1
    assert events(aws, name)[-1].endswith("\ta\nb\n")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_programs_a_handler_starts_log_lines_and_know_nothing_of_records(
    aws: Aws, function: Maker, runtime: str
) -> None:
    source = """
import logging, os, subprocess, sys
LOOK = '''
import os
links = ["/proc/self/fd/%s" % each for each in (1, *range(3, 256))]
files = [os.readlink(each) for each in links if os.path.exists(each)]
print("a\\\\nb", files.count(files[0]), "_LAMBDA_TELEMETRY_LOG_FD" in os.environ)
'''
def handler(event, context):
    logging.error("x\\ny")
    subprocess.run([sys.executable, "-c", LOOK], close_fds=False, check=True)
    logging.error("z")
"""
    first, *lines, last = logged(aws, function, source, runtime)

    assert lines == ["a\n", "b 1 False\n"]
    assert first.endswith("\tx\ny\n")
    assert last.endswith("\tz\n")


@pytest.mark.parametrize("runtime", ["python3.12", "python3.14"])
def test_records_of_a_restored_environment_go_to_its_own_log(aws: Aws, function: Maker, runtime: str) -> None:
    name = function(RECORDS, Runtime=runtime, Timeout=20)
    client = aws.client("lambda")
    client.update_function_configuration(FunctionName=name, SnapStart={"ApplyOn": "PublishedVersions"})
    version = client.publish_version(FunctionName=name)["Version"]
    until(lambda: client.get_function(FunctionName=name, Qualifier=version)["Configuration"]["State"] == "Active")

    client.invoke(FunctionName=name, Qualifier=version)

    found = events(aws, name)
    assert [each[:3] for each in found] == ["one", "two", "[ER", "[ER", "aft"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact(
    "AWS_LAMBDA_EXEC_WRAPPER",
    "records do not go where it sends what is printed",
    source="https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html",
)
def test_records_pass_by_what_a_wrapper_does_with_print(aws: Aws, function: Maker, runtime: str) -> None:
    wrapper = '#!/bin/sh\n"$@" | while read -r line; do echo "<$line>"; done\n'
    variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}}
    layers = [layer(aws, {"wrapper": wrapper})]
    name = function(RECORDS, Runtime=runtime, Timeout=20, Layers=layers, Environment=variables)

    aws.client("lambda").invoke(FunctionName=name)

    until(lambda: "<after>\n" in events(aws, name))
    assert sorted(each[:5] for each in events(aws, name)) == ["<afte", "<one>", "<two>", "[ERRO", "[ERRO"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("lost", ["unset _LAMBDA_TELEMETRY_LOG_FD", "exec 62>&-"])
def test_records_stay_one_event_where_a_wrapper_loses_the_way_for_them(
    aws: Aws, function: Maker, runtime: str, lost: str
) -> None:
    if lost.startswith("exec"):  # which shells other than bash do for one digit only
        lost = f'exec bash -c \'{lost}; exec "$@"\' - "$@"'
    layers = [layer(aws, {"wrapper": f'#!/bin/sh\n{lost}\nexec "$@"\n'})]
    variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}}

    _, _, first, second, _ = logged(aws, function, RECORDS, runtime, Layers=layers, Environment=variables)

    assert ["\ta\rTraceback" in first, "\tb\rTraceback" in second] == [True, True]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_records_come_beside_extensions(aws: Aws, function: Maker, runtime: str) -> None:
    found = logged(aws, function, RECORDS, runtime, Layers=extensions(aws, one=LISTEN))

    assert [each[:3] for each in found if not each.startswith("{")] == ["one", "two", "[ER", "[ER", "aft"]
