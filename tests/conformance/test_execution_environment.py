"""Execution environment.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.local.conftest import (
    Aws,
    Maker,
    Virtual,
    environments,
    own,
    payload,
    start,
    stop,
    unique,
    until,
    zipped,
)
from tests.processes import below, state

LIFECYCLE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"
VARIABLES = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"
LIMITS = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
LAYERS = "https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html"
STORAGE = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html"
SHARED_MEMORY = "https://aws.amazon.com/blogs/compute/parallel-processing-in-python-with-aws-lambda/"

ELSEWHERE = "where the machine allows no namespaces, as said at start, "


@pytest.fixture
def isolated(aws: Aws) -> None:
    """What follows needs namespaces."""
    if own(aws, "GET", "health")[1]["isolation"] != "namespaces":
        pytest.skip("this machine does not allow namespaces")


def answer(awslambda: Any, name: str, event: bytes = b"{}") -> Any:
    return payload(awslambda.invoke(FunctionName=name, Payload=event))


@fact(
    "CPU",
    "1,769 MB are one virtual processor, less memory is a share of it",
    here="partly",
    gap="with `--cpu-share` only, where the machine allows control groups, and from the first event on",
    source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html",
)
def test_a_small_function_has_a_small_share_of_the_processor(tmp_path: Path) -> None:
    process, aws = start(tmp_path, "--cpu-share")
    try:
        refused = own(aws, "GET", "health")[1]["refused"].get("share of the processor")
        if refused is not None:
            pytest.skip(f"this machine does not allow it: {refused}")
        burns = (
            "import time\n"
            "def handler(event, context):\n"
            "    began, until = time.monotonic(), time.process_time() + 0.03\n"
            "    while time.process_time() < until: pass\n"
            "    return time.monotonic() - began\n"
        )
        awslambda = aws.client("lambda")
        small, large = (Virtual(aws).function(burns, MemorySize=size) for size in (128, 1769))
        slow, quick = (answer(awslambda, name) for name in (small, large))
        settings = {
            each["setting"] for each in own(aws, "GET", f"fidelity?function={small}")[1]["functions"].popitem()[1]
        }
    finally:
        stop(process)

    assert slow > 0.2  # of 0.41 s, as the rest of the period before the first limit is not counted
    assert slow > 2 * quick
    assert "MemorySize" not in settings


@fact("reuse", "globals live on in a warm environment", source=LIFECYCLE)
def test_a_warm_environment_keeps_its_globals(awslambda: Any, function: Maker) -> None:
    name = function("count = 0\ndef handler(event, context):\n    global count\n    count += 1\n    return count\n")

    answers = [payload(awslambda.invoke(FunctionName=name)) for _ in range(3)]

    assert answers == [1, 2, 3]


@fact("phases", "INIT once, then INVOKE by INVOKE, frozen between them; SHUTDOWN in the end", source=LIFECYCLE)
def test_an_environment_goes_through_its_phases(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function("def handler(event, context):\n    return 1\n")
    for _ in range(2):
        awslambda.invoke(FunctionName=name)

    [made] = environments(aws, name)

    assert [each["phase"] for each in made["phases"]] == ["new", "init", "ready", "invoke", "ready", "invoke", "ready"]


@fact("freeze", "background threads stop between invocations and go on in the next one", source=LIFECYCLE)
def test_a_thread_makes_no_progress_between_invocations(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        "import threading, time\nticks = 0\n"
        "def tick():\n    global ticks\n    while True:\n        ticks += 1\n        time.sleep(0.001)\n"
        "threading.Thread(target=tick, daemon=True).start()\n"
        "def handler(event, context):\n"
        "    before = ticks\n    time.sleep(event.get('wait', 0))\n    return [before, ticks]\n"
    )
    _, last = answer(awslambda, name)
    [made] = environments(aws, name)
    until(lambda: state(made["pid"]) == "T")
    time.sleep(0.2)
    first, then = answer(awslambda, name, b'{"wait": 0.1}')

    assert first - last < 20
    assert then > first


@fact("freeze", "processes a handler has started stop with it, whatever their session", source=LIFECYCLE)
def test_a_process_of_its_own_session_is_frozen_too(isolated: None, aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        "import subprocess\n"
        "def handler(event, context):\n    subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
    )
    answer(awslambda, name)
    [made] = environments(aws, name)
    [child] = below(made["pid"])

    until(lambda: state(child) == "T")


@fact("reset", "after a timeout globals are gone and /tmp stays, in the same environment", source=LIFECYCLE)
def test_a_timeout_resets_the_environment(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        "import os, tempfile, time\nseen = []\n"
        "def handler(event, context):\n"
        "    seen.append(1)\n    place = os.path.join(tempfile.gettempdir(), 'kept')\n"
        "    before = os.path.exists(place)\n    open(place, 'w').close()\n"
        "    time.sleep(event.get('wait', 0))\n    return [len(seen), before]\n",
        Timeout=1,
    )
    first = answer(awslambda, name)
    awslambda.invoke(FunctionName=name, Payload=b'{"wait": 5}')
    last = answer(awslambda, name)

    [made] = environments(aws, name)
    assert (first, last) == ([1, False], [1, True])
    assert [each["phase"] for each in made["phases"]][-4:] == ["invoke", "reset", "invoke", "ready"]


@fact("SHUTDOWN", "without extensions the runtime gets no SIGTERM: SIGKILL at once", source=LIFECYCLE)
def test_no_signal_comes_before_the_end(isolated: None, aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('told'), sys.exit(0)))\n"
        "def handler(event, context):\n    return 1\n"
    )
    answer(awslambda, name)
    [made] = environments(aws, name)
    awslambda.update_function_configuration(FunctionName=name, Description="new")
    answer(awslambda, name)

    until(lambda: state(made["pid"]) is None)
    logs = aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert not [each for each in logs if "told" in each["message"]]


FILES = (
    "import os\n"
    "def attempt(path):\n"
    "    try:\n        open(path + '/new', 'w').close()\n        return 'written'\n"
    "    except OSError as error:\n        return error.strerror\n"
    "def handler(event, context):\n    return {path: attempt(path) for path in event}\n"
)


@fact(
    "file system", "/tmp is the only place that can be written",
    here="partly", gap=ELSEWHERE + "this machine's files can be written", source=STORAGE,
)  # fmt: skip
def test_nothing_but_scratch_can_be_written(isolated: None, awslambda: Any, function: Maker) -> None:
    name = function(FILES)

    found = answer(
        awslambda, name, b'["/", "/etc", "/usr", "/var", "/var/task", "/var/runtime", "/opt", "/home", "/tmp"]'
    )

    assert found.pop("/tmp") == "written"
    assert set(found.values()) == {"Read-only file system"}


@fact(
    "EphemeralStorage", "/tmp has this size; more is refused with 'No space left on device'",
    here="partly", gap="it is held in memory; " + ELSEWHERE + "its size is not limited", source=STORAGE,
)  # fmt: skip
def test_scratch_has_the_configured_size(isolated: None, awslambda: Any, function: Maker) -> None:
    name = function(
        "import os\n"
        "def handler(event, context):\n"
        "    held = os.statvfs('/tmp')\n"
        "    with open('/tmp/all', 'wb') as file:\n"
        "        try:\n            while True:\n                file.write(bytes(1 << 20))\n"
        "        except OSError as error:\n"
        "            return [held.f_blocks * held.f_frsize >> 20, error.errno, os.path.getsize('/tmp/all') >> 20]\n",
        EphemeralStorage={"Size": 600},
        Timeout=20,
    )

    assert answer(awslambda, name) == [600, 28, 600]


@fact("/tmp", "every environment has its own", source=STORAGE)
def test_scratch_is_not_shared(awslambda: Any, function: Maker) -> None:
    source = (
        "import os, tempfile\n"
        "def handler(event, context):\n"
        "    found = os.listdir(tempfile.gettempdir())\n"
        "    open(os.path.join(tempfile.gettempdir(), 'mine'), 'w').close()\n    return found\n"
    )
    one, other = function(source), function(source)

    assert (answer(awslambda, one), answer(awslambda, other)) == ([], [])
    assert answer(awslambda, one) == ["mine"]


@fact("layers", "are laid over each other into /opt in their order", source=LAYERS)
def test_layers_are_merged_into_opt(isolated: None, awslambda: Any, function: Maker) -> None:
    layers = [
        awslambda.publish_layer_version(LayerName=unique(), Content={"ZipFile": zipped(files)})["LayerVersionArn"]
        for files in ({"a": "1", "both": "1"}, {"b": "2", "both": "2"})
    ]
    name = function(
        "from pathlib import Path\n"
        "def handler(event, context):\n    return {p.name: p.read_text() for p in Path('/opt').iterdir()}\n",
        Layers=layers,
    )

    assert answer(awslambda, name) == {"a": "1", "b": "2", "both": "2"}


@fact(
    "user", "handlers run as sbx_user1051, who has no privileges",
    here="partly", gap=ELSEWHERE + "they run as whoever started the local AWS", source=LIFECYCLE,
)  # fmt: skip
def test_handlers_are_an_unprivileged_user(isolated: None, awslambda: Any, function: Maker) -> None:
    name = function(
        "import os, pwd\n"
        "def handler(event, context):\n"
        "    rights = [line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')]\n"
        "    name = pwd.getpwuid(os.getuid()).pw_name\n"
        "    return [os.getuid(), os.geteuid(), os.getgid(), os.getgroups(), name, rights]\n"
    )

    assert answer(awslambda, name) == [993, 993, 990, [], "sbx_user1051", ["0" * 16]]


@fact(
    "processes", "a handler sees the processes of its own environment only",
    here="partly", gap=ELSEWHERE + "it sees this machine's", source=LIFECYCLE,
)  # fmt: skip
def test_other_processes_are_not_seen(isolated: None, aws: Aws, awslambda: Any, function: Maker) -> None:
    if "pids" in own(aws, "GET", "health")[1]["refused"]:
        pytest.skip("this machine does not allow process trees of their own")
    name = function(
        "import os\n"
        "def handler(event, context):\n"
        "    return [os.getpid(), [name for name in os.listdir('/proc') if name.isdigit()]]\n"
    )

    assert answer(awslambda, name) == [2, ["1", "2"]]


@fact("/dev/shm", "is not there, so multiprocessing has no locks and queues", source=SHARED_MEMORY)
def test_there_is_no_shared_memory(isolated: None, awslambda: Any, function: Maker) -> None:
    name = function(
        "import multiprocessing\n"
        "def handler(event, context):\n"
        "    try:\n        multiprocessing.Lock()\n    except OSError as error:\n        return type(error).__name__\n"
    )

    assert answer(awslambda, name) in ("FileNotFoundError", "OSError")


@fact("file descriptors", "1,024 at most", source=LIMITS)
def test_descriptors_are_limited(awslambda: Any, function: Maker) -> None:
    name = function(
        "import os, resource\n"
        "def handler(event, context):\n"
        "    opened = []\n"
        "    try:\n        while True:\n            opened.append(os.dup(0))\n"
        "    except OSError as error:\n"
        "        for each in opened:\n            os.close(each)\n"
        "        return [error.errno, opened[-1], resource.getrlimit(resource.RLIMIT_NOFILE)]\n"
    )

    assert answer(awslambda, name) == [24, 1023, [1024, 1024]]


@fact(
    "processes and threads", "1,024 at most",
    here="partly", gap="where the machine allows no namespaces of users, they are not limited", source=LIMITS,
)  # fmt: skip
def test_processes_are_limited(isolated: None, aws: Aws, awslambda: Any, function: Maker) -> None:
    if "users" in own(aws, "GET", "health")[1]["refused"]:
        pytest.skip("this machine does not allow namespaces of users")
    name = function(
        "import os, signal\n"
        "def handler(event, context):\n"
        "    made = []\n"
        "    try:\n"
        "        while True:\n"
        "            pid = os.fork()\n"
        "            if pid == 0:\n                signal.pause()\n"
        "            made.append(pid)\n"
        "    except OSError as error:\n"
        "        for each in made:\n            os.kill(each, 9)\n            os.waitpid(each, 0)\n"
        "        return [error.errno, len(made)]\n",
        Timeout=30,
        MemorySize=3008,
    )

    assert answer(awslambda, name) == [11, 1023]


@fact(
    "environment variables", "those of the runtime, of the configuration, and nothing else",
    here="partly", gap="AWS_ENDPOINT_URL and AWS_EC2_METADATA_DISABLED are there as well: they keep calls here",
    source=VARIABLES,
)  # fmt: skip
def test_the_variables_are_those_of_lambda(isolated: None, awslambda: Any, function: Maker) -> None:
    name = function("import os\ndef handler(event, context):\n    return dict(os.environ)\n")

    found = answer(awslambda, name)

    assert found.pop("AWS_ENDPOINT_URL").startswith("http://127.0.0.1:")
    assert found.pop("AWS_EC2_METADATA_DISABLED") == "true"
    expected = {
        "_HANDLER": "app.handler",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "LANG": "en_US.UTF-8",
        "LC_CTYPE": "C.UTF-8",
        "TZ": ":UTC",
        "SHLVL": "0",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LD_LIBRARY_PATH": (
            "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
        ),
        "PYTHONPATH": "/var/runtime",
        "PWD": "/var/task",
    }
    assert {key: found.get(key) for key in expected} == expected
    assert set(found) - set(expected) == {
        "_X_AMZN_TRACE_ID", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_METADATA_API", "AWS_LAMBDA_METADATA_TOKEN",
    }  # fmt: skip


@fact(
    "credentials", "are the execution role's; a handler finds no others",
    here="partly", gap="the instance metadata of a machine in EC2 is turned off for SDKs, not out of reach",
    source=VARIABLES,
)  # fmt: skip
def test_no_credentials_of_the_user_are_found(isolated: None, awslambda: Any, function: Maker) -> None:
    places = [str(Path.home()), str(Path.cwd()), str(Path(os.environ.get("TMPDIR", "/tmp"))), "/root", "/home"]
    name = function(
        "import os, botocore.session\n"
        "def names(place):\n"
        "    try:\n        return os.listdir(place)\n    except OSError:\n        return []\n"
        "def handler(event, context):\n"
        "    session = botocore.session.Session()\n"
        "    key = session.get_credentials()\n"
        "    return [os.path.exists(os.path.expanduser('~/.aws')), session.available_profiles,\n"
        "            key.access_key, key.method, [each for place in event for each in names(place)]]\n",
        Timeout=20,
    )

    found = answer(awslambda, name, repr(places).replace("'", '"').encode())

    assert found == [False, [], "ASIALOCALLAMBDAFORM0", "env", []]


@fact("AWS SDK", "a call without an endpoint reaches the services beside the function", source=VARIABLES)
def test_an_unmodified_call_reaches_the_local_aws(awslambda: Any, function: Maker) -> None:
    name = function(
        "import boto3\ndef handler(event, context):\n    return boto3.client('sts').get_caller_identity()['Account']\n",
        Timeout=30,
    )

    assert answer(awslambda, name) == "123456789012"


@fact("environments", "are strangers: nothing of one is seen in another, random numbers included", source=LIFECYCLE)
def test_environments_have_nothing_in_common(awslambda: Any, function: Maker) -> None:
    source = (
        "import os, random, signal, socket, ssl, sys, uuid\n"
        "from pathlib import Path\n"
        "drawn = [random.random(), str(uuid.uuid4()), ssl.RAND_bytes(8).hex()]\n"
        "def handler(event, context):\n"
        "    mask = os.umask(0)\n    os.umask(mask)\n"
        "    seen = [os.getcwd() == os.environ['LAMBDA_TASK_ROOT'], mask,\n"
        "            signal.getsignal(signal.SIGINT) is signal.default_int_handler,\n"
        "            [m for m in sys.modules if m.startswith('lambdaform') or m == 'left'],\n"
        "            [os.readlink(f'/proc/self/fd/{n}') for n in (0,)]]\n"
        "    sys.modules['left'] = sys\n    os.umask(0o077)\n"
        "    signal.signal(signal.SIGINT, signal.SIG_IGN)\n    os.chdir('/')\n"
        "    return drawn, seen\n"
    )
    answers = [answer(awslambda, function(source)) for _ in range(3)]

    assert len({str(each) for drawn, _ in answers for each in drawn}) == 9
    assert [seen for _, seen in answers] == [[True, 0o022, True, [], ["/dev/null"]]] * 3


def test_the_processor_is_not_shared_out_unless_asked_for(awslambda: Any, function: Maker) -> None:
    name = function(
        "import time\n"
        "def handler(event, context):\n"
        "    begun, used = time.monotonic(), time.process_time()\n"
        "    while time.process_time() - used < 0.05:\n        pass\n"
        "    return time.monotonic() - begun\n"
    )

    # 128 MB would get a fourteenth of a processor.
    assert min(answer(awslambda, name) for _ in range(3)) < 0.05 * 1769 / 128 / 2


@fact("Timeout of INIT", "an INIT that fails is run again in the first invocation", source=LIFECYCLE)
def test_a_failed_init_is_run_again(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        "import os, sys, tempfile\n"
        "place = os.path.join(tempfile.gettempdir(), 'tried')\n"
        "if not os.path.exists(place):\n    open(place, 'w').close()\n    os._exit(3)\n"
        "def handler(event, context):\n    return 'second'\n"
    )

    assert answer(awslambda, name) == "second"
    [made] = environments(aws, name)
    assert [each["phase"] for each in made["phases"]] == ["new", "init", "reset", "invoke", "ready"]
