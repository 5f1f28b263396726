"""A real local AWS for the tests of this folder: one process per test process, emptied of nothing between tests.

Names are made unique instead, so tests do not wait for each other's clean-up.
"""

from __future__ import annotations

import http.client
import io
import itertools
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

import attrs
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.patience import PATIENCE

ROLE = "arn:aws:iam::123456789012:role/lambda-role"
_numbers = itertools.count(1)


@attrs.frozen
class Aws:
    """A running local AWS."""

    endpoint: str
    pid: int

    def client(self, service: str, *, region: str = "us-east-1", key: str = "test") -> Any:
        """A boto3 client for it."""
        return cast(Any, boto3).client(  # its stubs know each service by its literal name only
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False, read_timeout=60),
        )


def command(*options: str) -> list[str]:
    """The command that runs a local AWS; it waits for nothing at its end unless told so."""
    return [sys.executable, "-m", "lambdaform.local", "--port", "0", "--grace", "0", *options]


def start(
    folder: Path, *options: str, stderr: int | None = None, by: Sequence[str] = ()
) -> tuple[subprocess.Popen[bytes], Aws]:
    """Start a local AWS, `by` a program that becomes it if wanted, and wait until it takes requests."""
    ready = folder / f"ready-{next(_numbers)}.json"
    process = subprocess.Popen(
        [*by, *command("--ready-file", str(ready), *options)],
        stderr=stderr,
        # Its private folder is in the test's: one that is killed cannot clean up after itself.
        env={
            **os.environ,
            "TMPDIR": str(folder),
            "AWS_SECRET_TOKEN_OF_THE_HOST": "must not leak",
            "PYTHONPATH_OF_HOST": "x",
        },
    )
    deadline = time.monotonic() + PATIENCE
    while not ready.exists():
        assert process.poll() is None, "the local AWS ended before it was ready"
        assert time.monotonic() < deadline, "the local AWS was not ready in time"
        time.sleep(0.01)
    found = json.loads(ready.read_text())
    return process, Aws(found["endpoint"], found["pid"])


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a local AWS."""
    process.terminate()
    process.wait(PATIENCE)


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that takes a moment of real time, and fail when it never does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.005)


def own(aws: Aws, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """What one of the program's own paths answers."""
    parts = urlsplit(aws.endpoint)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    connection.request(method, f"/_lambdaform/{path}", None if body is None else json.dumps(body))
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def environments(aws: Aws, name: str) -> list[Any]:
    """The execution environments of a function."""
    return own(aws, "GET", f"environments?function={name}")[1]


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Generator[Aws]:
    """The local AWS of this test process, on the system clock."""
    process, found = start(tmp_path_factory.mktemp("aws"))
    yield found
    stop(process)


@pytest.fixture(scope="session")
def awslambda(aws: Aws) -> Any:
    """Its Lambda."""
    return aws.client("lambda")


def zipped(files: Mapping[str, str]) -> bytes:
    """A zip of text files."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()


def unique(stem: str = "fn") -> str:
    """A name nobody else has."""
    return f"{stem}-{os.getpid()}-{next(_numbers)}"


@attrs.frozen
class Virtual:
    """A local AWS on a virtual clock."""

    aws: Aws

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        status, answer = own(self.aws, "POST", "clock", {"advance": seconds})
        assert status == 200, answer

    def messages(self, arn: str) -> list[str]:
        """The bodies in a queue."""
        return [each["body"] for each in own(self.aws, "GET", f"messages?queue={quote(arn)}")[1]]

    def function(self, source: str, **settings: Any) -> str:
        """Make a function."""
        name = unique()
        self.aws.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.11",
            Handler="app.handler",
            Role=ROLE,
            Code={"ZipFile": zipped({"app.py": source})},
            **settings,
        )
        return name

    def queue(self, **attributes: str) -> tuple[str, str]:
        """Make a queue; gives its URL and ARN."""
        sqs = self.aws.client("sqs")
        url = sqs.create_queue(QueueName=unique("queue"), Attributes=attributes)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, found["Attributes"]["QueueArn"]


@pytest.fixture(scope="session")
def virtual(tmp_path_factory: pytest.TempPathFactory) -> Generator[Virtual]:
    process, aws = start(tmp_path_factory.mktemp("virtual"), "--clock", "virtual")
    yield Virtual(aws)
    stop(process)


Maker = Callable[..., str]


@pytest.fixture(scope="session")
def function(awslambda: Any) -> Maker:
    """Make a function from the source of its handler; returns its name."""

    def make(source: str, **settings: Any) -> str:
        name = settings.pop("FunctionName", None) or unique()
        files = settings.pop("files", {"app.py": source})
        awslambda.create_function(
            **{
                "FunctionName": name,
                "Runtime": "python3.11",
                "Handler": "app.handler",
                "Role": ROLE,
                "Code": {"ZipFile": zipped(files)},
                **settings,
            }
        )
        return name

    return make


@attrs.frozen
class Refusal:
    """How a call was refused."""

    code: str
    message: str
    status: int
    body: Any
    """Everything the error's shape carried."""


def refusal(call: Callable[..., Any], **params: Any) -> Refusal:
    """How a call is refused; it fails the test when it is not."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    response: Any = caught.value.response
    error = response["Error"]
    return Refusal(error["Code"], error["Message"], response["ResponseMetadata"]["HTTPStatusCode"], response)


def payload(answer: Mapping[str, Any]) -> Any:
    """The JSON an invocation answered."""
    return json.loads(answer["Payload"].read())
