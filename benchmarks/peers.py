"""Cold starts and warm invocations beside other local Lambdas, installed from PyPI into an environment each.

aws-lambda-rie is AWS's own emulator of one function, shipped inside the wheel of aws-sam-cli. ministack is a server of
many services. Both are run as they come.
"""

from __future__ import annotations

import http.client
import itertools
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import boto3
from events import HERE, ROLE

from lambdaform.local.process import start

FOLDER = Path(__file__).parent.parent / ".lambdaform" / "peers"
RIE = "aws-sam-cli>=1.170,<2"
MINISTACK = "ministack>=1.5,<2"
TRIVIAL = "def handler(event, context):\n    return {}\n"
PATH = "/2015-03-31/functions/{}/invocations"


def peers() -> None:
    """All of it: ours first, then each peer as a multiple of ours."""
    print("Peers, medians (raw client)")
    ours = server(ours_running)
    show("lambdaform", ours, ours)
    show("aws-lambda-rie", emulator(install_rie()), ours, wanted="cold 5 x")
    show("ministack", server(lambda: ministack_running(install_ministack())), ours, wanted="cold 30 x")


def show(name: str, found: dict[str, float], ours: dict[str, float], wanted: str = "") -> None:
    """One line for each figure."""
    for what in ("cold", "warm"):
        label = f"{name}, {what}"
        print(f"  {label:<40} {found[what]:9.1f} ms   {found[what] / ours[what]:6.1f} x   {wanted}")
        wanted = ""


# Installing


def install_rie() -> Path:
    """The emulator's program."""
    found = FOLDER / "rie"
    if not found.exists():
        run("pip", "install", "--quiet", "--no-deps", "--target", str(found), RIE)
    kind = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    program = found / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{kind}"
    program.chmod(0o755)
    return program


def install_ministack() -> Path:
    """The server's program."""
    found = FOLDER / "ministack"
    if not found.exists():
        run("venv", "--quiet", "--python", sys.executable, str(found))
        run("pip", "install", "--quiet", "--python", str(found / "bin" / "python"), MINISTACK)
    return found / "bin" / "ministack"


def run(*arguments: str) -> None:
    """Run uv."""
    from uv import find_uv_bin

    subprocess.run([find_uv_bin(), *arguments], check=True, stderr=subprocess.DEVNULL)


# Measuring


def emulator(program: Path) -> dict[str, float]:
    """The emulator is one function, so every cold start is a process of its own."""
    colds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "m.py").write_text(TRIVIAL)
        for _ in range(15):
            with rie_running(program, folder) as port:
                colds.append(timed(port, "function"))
        with rie_running(program, folder) as port:
            warm = warm_of(port, "function")
    return {"cold": statistics.median(colds), "warm": warm}


def server(running: Callable[[], Any]) -> dict[str, float]:
    """A server with Lambda's API: a cold start follows every change of its code."""
    with running() as port:
        awslambda = cast(Any, boto3).client(
            "lambda",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        awslambda.create_function(
            FunctionName="f", Runtime=HERE, Handler="m.handler", Role=ROLE, Code={"ZipFile": packed(TRIVIAL)}
        )
        colds: list[float] = []
        for number in range(15):
            awslambda.update_function_code(FunctionName="f", ZipFile=packed(f"# {number}\n{TRIVIAL}"))
            awslambda.get_waiter("function_updated_v2").wait(FunctionName="f")
            time.sleep(0.04)
            colds.append(timed(port, "f"))
        return {"cold": statistics.median(colds), "warm": warm_of(port, "f")}


def packed(source: str) -> bytes:
    """A package of one file."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("m.py", source)
    return archive.getvalue()


def timed(port: int, name: str) -> float:
    """Milliseconds of one invocation over a new connection."""
    began = time.perf_counter()
    invoke(http.client.HTTPConnection("127.0.0.1", port), name)
    return (time.perf_counter() - began) * 1000


def warm_of(port: int, name: str) -> float:
    """The median of invocations over one connection where the server keeps it."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    times: list[float] = []
    for _ in range(100):
        began = time.perf_counter()
        invoke(connection, name)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def invoke(connection: http.client.HTTPConnection, name: str) -> None:
    """One invocation, which must succeed."""
    connection.request("POST", PATH.format(name), b"{}", {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    assert body.strip() == b"{}", body


# Running


@contextmanager
def ours_running() -> Generator[int]:
    """The local AWS."""
    local = start()
    try:
        yield urlsplit(local.running.endpoint).port or 0
    finally:
        local.close()


@contextmanager
def rie_running(program: Path, folder: str) -> Generator[int]:
    """The emulator with a handler that has not been initialised."""
    port, api = free_port(), free_port()
    command = [
        str(program),
        "--runtime-interface-emulator-address",
        f"127.0.0.1:{port}",
        "--runtime-api-address",
        f"127.0.0.1:{api}",
        "--log-level",
        "error",
        sys.executable,
        "-m",
        "awslambdaric",
        "m.handler",
    ]
    with process(command, port, cwd=folder):
        yield port


@contextmanager
def ministack_running(program: Path) -> Generator[int]:
    """The server, on loopback."""
    port = free_port()
    with process([str(program)], port, cwd=str(FOLDER), BIND_HOST="127.0.0.1", GATEWAY_PORT=str(port)):
        yield port


@contextmanager
def process(command: list[str], port: int, *, cwd: str, **environment: str) -> Generator[None]:
    """A program that listens."""
    quiet = subprocess.DEVNULL
    running = subprocess.Popen(
        command, cwd=cwd, env={**os.environ, **environment}, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        for _ in itertools.count():
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert running.poll() is None, f"{command[0]} ended"
            time.sleep(0.01)
        yield
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
