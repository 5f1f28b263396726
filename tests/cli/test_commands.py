"""Commands as users run them: whole processes, exit codes, what is on stdout and what on stderr."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import attrs
import pytest

from lambdaform.aws.endpoint import is_aws
from lambdaform.cli.context import log_text
from tests.patience import PATIENCE

APP = '''
from lambdaform import DeadLetter, Function, PythonCode, Queue, Reserved, Stack

class Shop(Stack):
    """A small shop."""
    src = PythonCode("src")
    dead = Queue(retention="14 days")
    inbox = Queue(visibility_timeout="3 min", dead_letter=DeadLetter(dead))
    worker = Function("worker.handler", src, timeout="30 s", uses={"INBOX": inbox.send()},
                      triggers=[inbox.messages()])
    inbox_url = inbox.url

if __name__ == "__main__":
    Shop.main()
'''

TEN_MISTAKES = """
from lambdaform import DeadLetter, Function, PythonCode, Queue, Reserved, Stack

class Shop(Stack):
    src = PythonCode("src")
    a = Queue(visibility_timeout="13 h")
    b = Queue(retention="30 s")
    c = Queue(delay="soon")
    d = Queue(dead_letter=DeadLetter(Queue()))
    e = Function("worker.handler", src, memory=64)
    f = Function("worker.handler", src, timeout="16 min")
    g = Function("worker.handler", src, runtime="python2.7")
    h = Function("worker.handler", src, environment={"AWS_REGION": "mars"})
    i = Function("worker.handler", src, ephemeral_storage="20 GB")
    j = Function("worker.handler", src, architecture="sparc")

if __name__ == "__main__":
    Shop.main()
"""


@attrs.frozen
class Project:
    """A project in a folder of its own."""

    folder: Path

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        clean = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "AWS_EC2_METADATA_DISABLED": "true"}
        return subprocess.run(
            [sys.executable, "app.py", *arguments],
            cwd=self.folder,
            env={**clean, **environment},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def write(self, text: str) -> None:
        (self.folder / "app.py").write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "worker.py").write_text("def handler(event, context):\n    return 1\n")
    found = Project(tmp_path)
    found.write(APP)
    return found


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """A server that plays AWS."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_ten_mistakes_are_ten_problems_each_with_its_line(project: Project) -> None:
    project.write(TEN_MISTAKES)
    result = project.run("validate", "--json")
    errors = [each for each in json.loads(result.stdout)["problems"] if each["severity"] == "error"]

    assert result.returncode == 3
    assert sorted({each["line"] for each in errors}) == list(range(6, 16))
    assert all(each["file"] == "app.py" for each in errors)
    assert all(each["hint"] for each in errors)


def test_problems_are_shown_with_file_address_value_and_what_to_change(project: Project) -> None:
    project.write(TEN_MISTAKES)
    result = project.run("validate")

    assert "app.py:10  lambda.function.e.memory" in result.stderr
    assert "must be 128 to 10,240 MB, got 64" in result.stderr
    assert "raise it to at least 128" in result.stderr
    assert result.stdout == ""


def test_a_plan_needs_neither_credentials_nor_network(project: Project) -> None:
    result = project.run("plan", "--region", "eu-central-1")

    assert result.returncode == 0
    assert "account not known yet" in result.stdout
    assert "7 to create" in result.stdout


def test_changes_pending_are_told_by_the_exit_code_when_asked(project: Project) -> None:
    assert project.run("plan", "--region", "eu-central-1", "--detailed-exitcode").returncode == 2


def test_deploying_again_has_nothing_to_do_and_destroy_leaves_nothing(project: Project, aws: str) -> None:
    first = project.run("deploy", "--endpoint-url", aws, "--yes")
    again = project.run("deploy", "--endpoint-url", aws, "--yes", "--json")
    gone = project.run("destroy", "--endpoint-url", aws, "--yes", "--delete-data")

    assert (first.returncode, again.returncode, gone.returncode) == (0, 0, 0), first.stderr + gone.stderr
    assert "Not AWS: http" in first.stderr
    assert "inbox_url" in first.stdout
    events: list[dict[str, Any]] = [json.loads(line) for line in again.stdout.splitlines()]
    assert [event["event"] for event in events] == ["plan", "deployed"]
    assert events[0]["version"] == 1
    assert events[0]["plan"]["changes"] == []
    assert not list((project.folder / ".lambdaform" / "state").rglob("*.json"))


def test_destroy_keeps_a_queue_with_messages_and_what_it_needs_until_told(project: Project, aws: str) -> None:
    import boto3

    project.write(APP.replace("triggers=[inbox.messages()]", "triggers=[]"))  # that server would run the function
    arguments = ("--stage", "data", "--endpoint-url", aws, "--yes")
    deployed = project.run("deploy", *arguments)
    sqs: Any = cast(Any, boto3).client(
        "sqs",
        endpoint_url=aws,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    sqs.send_message(QueueUrl=deployed.stdout.split()[-1], MessageBody="precious")

    kept = project.run("destroy", *arguments)
    again = project.run("destroy", *arguments)
    gone = project.run("destroy", *arguments, "--delete-data")

    assert "kept, because they hold data: sqs.queue.inbox, sqs.queue.dead" in kept.stderr
    assert "= keep sqs.queue.dead  (sqs.queue.inbox needs it)" in kept.stderr
    assert "delete lambda.function.worker" in kept.stderr
    assert again.returncode == 0
    assert "2 to delete" in gone.stderr
    assert sqs.list_queues(QueueNamePrefix="shop-data").get("QueueUrls", []) == []


TWO_STACKS = """
import os
from lambdaform import Function, PythonCode, Stack, Topic

class Shop(Stack):
    news = Topic()
    other = Topic()

class Reader(Stack):
    worker = Function("worker.handler", PythonCode("src"), uses={"NEWS": Shop.news.publish()})

if __name__ == "__main__":
    (Reader if "READER" in os.environ else Shop).main()
"""


def test_what_another_stack_uses_is_not_deleted(project: Project, aws: str) -> None:
    arguments = ("--stage", "two", "--endpoint-url", aws, "--yes")
    project.write(TWO_STACKS)
    project.run("deploy", *arguments)
    project.run("deploy", *arguments, READER="1")

    refused = project.run("destroy", *arguments)
    project.write(TWO_STACKS.replace("    news = Topic()\n", "").replace("Shop.news", "Shop.other"))
    left_out = project.run("deploy", *arguments)
    both = project.run("deploy", *arguments, READER="1")
    project.run("destroy", *arguments, READER="1")
    gone = project.run("destroy", *arguments)

    assert refused.returncode == left_out.returncode == 1
    uses = "this deletes sns.topic.news, which iam.role_policy.worker of reader uses"
    assert uses in refused.stderr
    assert uses in left_out.stderr
    assert "destroy that stack first" in refused.stderr
    assert "delete sns.topic.news" in both.stderr
    assert [each.returncode for each in (both, gone)] == [0, 0]
    assert not list((project.folder / ".lambdaform" / "state").rglob("*.json"))


def test_a_replacement_does_not_delete_a_queue_with_messages_until_told(project: Project, aws: str) -> None:
    import boto3

    without = APP.replace("triggers=[inbox.messages()]", "triggers=[]")
    renamed = without.replace("inbox = Queue(", 'inbox = Queue(name="other", ')
    arguments = ("--stage", "loss", "--endpoint-url", aws, "--yes")
    project.write(without)
    url = project.run("deploy", *arguments).stdout.split()[-1]
    project.write(renamed)
    shown = project.run("plan", *arguments[:-1])
    sqs: Any = cast(Any, boto3).client(
        "sqs", endpoint_url=aws, region_name="us-east-1", aws_access_key_id="local", aws_secret_access_key="local"
    )
    sqs.send_message(QueueUrl=url, MessageBody="precious")

    refused = project.run("deploy", *arguments)
    left = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
    told = project.run("deploy", *arguments, "--delete-data")

    assert "replace sqs.queue.inbox  (what it holds goes with it: needs --delete-data)" in shown.stdout
    assert refused.returncode == 1
    assert "a replacement deletes sqs.queue.inbox with the data in there" in refused.stderr
    assert [each["Body"] for each in left] == ["precious"]
    assert told.returncode == 0, told.stderr
    assert told.stdout.split()[-1].endswith("/other")
    steps = [(int(n), int(of)) for n, of in re.findall(r"(\d+)/(\d+)", told.stderr)]
    assert steps[-1][0] == steps[-1][1]


@pytest.mark.parametrize(
    ("line", "told"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("self.nope.send()", "AttributeError: 'Shop' object has no")],
)
def test_a_build_that_fails_is_a_problem_of_its_line(project: Project, line: str, told: str) -> None:
    project.write(APP.replace("\nif __name__", f"\n    def build(self):\n        {line}\n\nif __name__"))
    number = (project.folder / "app.py").read_text().splitlines().index(f"        {line}") + 1
    result = project.run("validate")

    assert result.returncode == 3
    assert f"app.py:{number}" in result.stderr
    assert f"`build` failed: {told}" in result.stderr
    assert "bug" not in result.stderr


@pytest.mark.parametrize("address", ["nonsense", "http://", "127.0.0.1:5123", "http://127.0.0.1:99999", "ftp://x"])
def test_what_is_no_address_of_an_endpoint_is_told(project: Project, address: str) -> None:
    result = project.run("deploy", "--yes", "--endpoint-url", address)

    assert result.returncode == 1
    assert f"--endpoint-url {address!r} is no address of an endpoint" in result.stderr
    assert "bug" not in result.stderr


def test_the_account_is_guarded_at_endpoints_of_aws_s_own() -> None:
    assert is_aws("https://vpce-1.lambda.us-east-1.vpce.amazonaws.com")
    assert is_aws("https://lambda-fips.us-east-1.amazonaws.com")
    assert not is_aws("http://127.0.0.1:4566")
    assert not is_aws("https://amazonaws.com.example.org")


def test_lines_within_a_log_event_stand_below_each_other() -> None:
    assert log_text("[ERROR] E: x\rTraceback\r  File\r\n") == "[ERROR] E: x\nTraceback\n  File"


def test_a_changed_handler_is_shown_by_file_and_updates_the_function_alone(project: Project, aws: str) -> None:
    project.run("deploy", "--stage", "code", "--endpoint-url", aws, "--yes")
    (project.folder / "src" / "worker.py").write_text("def handler(event, context):\n    return 2\n")
    plan = project.run("plan", "--stage", "code", "--endpoint-url", aws)

    assert "~ update lambda.function.worker" in plan.stdout
    assert "~ worker.py (update)" in plan.stdout
    assert "1 to update, 6 unchanged." in plan.stdout


def test_a_saved_plan_is_refused_when_the_declaration_has_changed(project: Project, aws: str) -> None:
    arguments = ("--stage", "saved", "--endpoint-url", aws)
    project.run("plan", *arguments, "-o", "plan.json")
    project.write(APP.replace('"3 min"', '"4 min"'))
    refused = project.run("deploy", "plan.json", *arguments)
    project.write(APP)
    applied = project.run("deploy", "plan.json", *arguments)
    stale = project.run("deploy", "plan.json", *arguments)

    assert refused.returncode == 1
    assert "has changed since this plan was made" in refused.stderr
    assert applied.returncode == 0, applied.stderr
    assert stale.returncode == 1
    assert "the state has moved on" in stale.stderr


def test_nobody_to_ask_is_an_error_that_names_the_flag(project: Project, aws: str) -> None:
    result = project.run("deploy", "--stage", "ask", "--endpoint-url", aws)

    assert result.returncode == 1
    assert "--yes" in result.stderr


def test_absent_credentials_are_said_and_what_to_do(project: Project) -> None:
    result = project.run("deploy", "--region", "eu-central-1", "--yes")

    assert result.returncode == 1
    assert "there are no AWS credentials" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_region_nobody_names_is_an_error(project: Project) -> None:
    result = project.run("plan")

    assert result.returncode == 1
    assert "no region is named anywhere" in result.stderr


def test_an_endpoint_where_nothing_answers_is_said(project: Project) -> None:
    result = project.run("deploy", "--endpoint-url", "http://127.0.0.1:9", "--yes")

    assert result.returncode == 1
    assert "nothing answers at http://127.0.0.1:9" in result.stderr


def test_a_damaged_state_is_named_and_left_alone(project: Project, aws: str) -> None:
    project.run("deploy", "--stage", "broken", "--endpoint-url", aws, "--yes")
    [state] = (project.folder / ".lambdaform" / "state" / "shop" / "broken").rglob("*.json")
    state.write_text("{")
    result = project.run("deploy", "--stage", "broken", "--endpoint-url", aws, "--yes")

    assert result.returncode == 1
    assert str(state.name) in result.stderr
    assert "Traceback" not in result.stderr
    assert state.read_text() == "{"


def test_a_second_deploy_at_once_is_told_who_holds_the_state(project: Project, aws: str) -> None:
    from filelock import FileLock

    project.run("deploy", "--stage", "lock", "--endpoint-url", aws, "--yes")
    [state] = (project.folder / ".lambdaform" / "state" / "shop" / "lock").rglob("*.json")
    with FileLock(state.with_suffix(".lock")):
        result = project.run("deploy", "--stage", "lock", "--endpoint-url", aws, "--yes")

    assert result.returncode == 4
    assert "is being changed by" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["deplyo"], ["plan", "--nonsense"], ["local", "--broker", "kafka=amqp://localhost"]]
)
def test_wrong_usage_exits_with_64(project: Project, arguments: list[str]) -> None:
    assert project.run(*arguments).returncode == 64


def test_the_nearest_command_is_suggested(project: Project) -> None:
    assert "Did you mean deploy?" in project.run("deplyo").stderr


def test_help_loads_nothing_heavy(project: Project) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "app.py", "--help"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=True,
    )

    for name in ("boto3", "botocore", "moto", "graphviz", "jinja2", "rich", "cattrs"):
        assert f"| {name}" not in result.stderr.replace("|   ", "| "), name


def test_a_local_command_without_a_local_aws_says_how_to_start_one(project: Project) -> None:
    result = project.run("invoke", "worker", "--local")

    assert result.returncode == 1
    assert "app.py local" in result.stderr


def test_a_syntax_error_in_a_handler_is_a_problem_at_its_line(project: Project) -> None:
    (project.folder / "src" / "worker.py").write_text("def handler(event, context)\n    return 1\n")
    result = project.run("validate")

    assert result.returncode == 3
    assert "worker.py:1" in result.stderr


def test_a_handler_that_is_not_there_is_a_problem_with_the_nearest_name(project: Project) -> None:
    (project.folder / "src" / "worker.py").write_text("def handle(event, context):\n    return 1\n")
    result = project.run("validate")

    assert result.returncode == 3
    assert "handle" in result.stderr


def test_local_deploys_says_where_it_is_and_what_it_does_not_honour(project: Project) -> None:
    result = project.run("local", "--port", "0", "--once")

    assert result.returncode == 0, result.stderr
    assert "local AWS at http://127.0.0.1:" in result.stderr
    assert "Role: the role's permissions are not enforced" in result.stderr
    assert "Ctrl-C" not in result.stderr, "it ends by itself"
    assert not list((project.folder / ".lambdaform").rglob("*local-*"))


def test_local_shows_mistakes_and_waits_for_them_to_be_mended(project: Project) -> None:
    project.write(TEN_MISTAKES)
    process = subprocess.Popen(
        [sys.executable, "app.py", "local", "--port", "0", "--region", "eu-central-1"],
        cwd=project.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said: list[str] = []
    while not said or "saving a file deploys again" not in said[-1]:
        said.append(process.stderr.readline())
        assert said[-1], "".join(said)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=PATIENCE)

    assert "10 errors" in "".join(said)
    assert "bug" not in rest


def test_a_diagram_is_drawn_where_it_is_asked_for(project: Project) -> None:
    result = project.run("diagram", "-o", "pictures/shop.svg")

    assert result.returncode == 0, result.stderr
    assert "</svg>" in (project.folder / "pictures" / "shop.svg").read_text()
