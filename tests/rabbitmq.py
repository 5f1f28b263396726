"""A real RabbitMQ for tests: the one whose address is in `LAMBDAFORM_TEST_AMQP`, else one started from what is
installed, on loopback, with everything it writes in a folder of the test. Where there is neither, tests are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

import attrs
import pytest
from aiormq import Connection
from aiormq.abc import AbstractChannel
from pamqp.commands import Basic

T = TypeVar("T")
VARIABLE = "LAMBDAFORM_TEST_AMQP"
VIRTUAL_HOST = "lambdaform"
_DEBIAN = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""The server itself: the program of the same name in the path changes to a user of its own."""


@attrs.frozen
class Rabbit:
    """A broker, in one virtual host."""

    address: str

    @property
    def virtual_host(self) -> str:
        """The one in the address."""
        return unquote(urlsplit(self.address).path.removeprefix("/")) or "/"

    @property
    def login(self) -> str:
        """The address without its virtual host."""
        return self.address.removesuffix(urlsplit(self.address).path)

    def declare(self, queue: str, **arguments: Any) -> str:
        """Make a durable queue; gives its name."""

        async def make(channel: AbstractChannel) -> None:
            given = {name.replace("_", "-"): value for name, value in arguments.items()}
            await channel.queue_declare(queue, durable=True, arguments=given)

        self._do(make)
        return queue

    def send(self, queue: str, *bodies: str | bytes, **properties: Any) -> None:
        """Publish messages, and wait until the broker has them."""

        async def publish(channel: AbstractChannel) -> None:
            for body in bodies:
                content = body.encode() if isinstance(body, str) else body
                await channel.basic_publish(content, routing_key=queue, properties=Basic.Properties(**properties))

        self._do(publish)

    def ready(self, queue: str) -> list[bytes]:
        """Take what no consumer has."""

        async def take(channel: AbstractChannel) -> list[bytes]:
            found: list[bytes] = []
            while not isinstance((message := await channel.basic_get(queue, no_ack=True)).delivery, Basic.GetEmpty):
                found.append(message.body)
            return found

        return self._do(take)

    def delete(self, queue: str) -> None:
        """Delete a queue."""

        async def drop(channel: AbstractChannel) -> None:
            await channel.queue_delete(queue)

        self._do(drop)

    def _do(self, work: Callable[[AbstractChannel], Awaitable[T]]) -> T:
        async def doing() -> T:
            connection = Connection(self.address)
            await cast(Any, connection).connect()
            try:
                return await work(await connection.channel())
            finally:
                await connection.close()

        return asyncio.run(doing())


@contextlib.contextmanager
def running(folder: Path) -> Generator[Rabbit]:
    """A broker, for as long as the block runs; skips the test where there is none."""
    if os.environ.get(VARIABLE):
        yield Rabbit(os.environ[VARIABLE])
        return
    server = _DEBIAN if Path(_DEBIAN).exists() else shutil.which("rabbitmq-server")
    epmd = shutil.which("epmd")
    if server is None or epmd is None:
        pytest.skip(f"no RabbitMQ: install rabbitmq-server, or give the address of one in {VARIABLE}")
    amqp, nodes, names = _free_ports(3)
    (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{amqp}\ndefault_vhost = {VIRTUAL_HOST}\n")
    (folder / "plugins").write_text("[].\n")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": f"test{amqp}@localhost",
        "RABBITMQ_DIST_PORT": str(nodes),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
    }
    with (
        _child([epmd, "-address", "127.0.0.1", "-port", str(names)], environ),
        _child([server], environ) as process,
    ):
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            if "completed with" in line:
                break
        else:
            raise AssertionError("RabbitMQ did not start: " + "".join(said))
        yield Rabbit(f"amqp://guest:guest@127.0.0.1:{amqp}/{VIRTUAL_HOST}")


@contextlib.contextmanager
def _child(command: list[str], environ: dict[str, str]) -> Generator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in held]
