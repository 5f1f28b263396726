"""The local AWS, composed: clock, library services, event services, Lambda, Logs, and the door in front of them.

One `LocalAws` is one process's worth of state. `__main__` runs it as a program; nothing else needs to.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from typing import Literal

import attrs

from lambdaform.local.arrivals import Arrivals
from lambdaform.local.clock import EPOCH, RandomIds, SeededIds, SystemClock, VirtualClock
from lambdaform.local.control import Control
from lambdaform.local.data import MotoServices
from lambdaform.local.door import Door
from lambdaform.local.faults import Faults
from lambdaform.local.folders import PrivateFolder, remove_abandoned
from lambdaform.local.http import Server, answering
from lambdaform.local.lambda_ import concurrency
from lambdaform.local.lambda_.blueprints import Blueprints
from lambdaform.local.lambda_.code import CodeStore
from lambdaform.local.lambda_.environment import Blueprint
from lambdaform.local.lambda_.invoking import Invoking
from lambdaform.local.lambda_.metrics import Metrics
from lambdaform.local.lambda_.plane import Plane
from lambdaform.local.lambda_.processes import Executing, Parents, Spawner, assemble_runtime, has_aws_client
from lambdaform.local.lambda_.records import Records
from lambdaform.local.lambda_.running import Fleet, Key
from lambdaform.local.lambda_.service import Lambda
from lambdaform.local.lambda_.store import Snapshot, Store
from lambdaform.local.logs import Logs, LogStore
from lambdaform.local.logs.store import Writer
from lambdaform.local.plumbing import Plumbing
from lambdaform.local.ports import Service
from lambdaform.local.signatures import Keys
from lambdaform.local.trace import Trace
from lambdaform.local.urls import Urls


@attrs.frozen
class Options:
    """How a local AWS is started."""

    host: str = "127.0.0.1"
    port: int = 4566
    region: str = "us-east-1"
    clock: Literal["system", "virtual"] = "system"
    settle_after: float = 0.0
    """Seconds a new or changed function stays Pending or InProgress."""
    runtime_client: Literal["aws", "own"] | None = None
    """Which runtime client handlers run under; AWS's where it is installed when None."""
    isolation: Literal["auto", "processes"] = "auto"
    """`auto` gives handlers Lambda's file system where the machine allows it, `processes` this machine's."""


@attrs.frozen
class Checkpoint:
    """Everything in memory at one moment; the library's process keeps its part itself."""

    now: float
    ids: object
    store: Snapshot
    logs: object
    plumbing: object


class LocalAws:
    """See the module. `start` before use, `close` in the end; both in one event loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.instance = str(uuid.uuid4())
        self.started = time.time()
        self.clock = VirtualClock() if options.clock == "virtual" else SystemClock()
        self.ids = SeededIds() if options.clock == "virtual" else RandomIds()
        self._private = PrivateFolder()
        self.folder = self._private.path
        self.data = MotoServices(clock=self.clock)
        self.trace = Trace(self.clock.now)
        self.metrics = Metrics(self.data)
        self.plumbing = Plumbing(clock=self.clock, ids=self.ids, data=self.data, trace=self.trace, metrics=self.metrics)
        self.store = Store()
        self.logs = LogStore(self.clock.now)
        self.records = Records()
        self.faults = Faults()
        runtime = self.folder / "runtime"
        own = options.runtime_client == "own" or (options.runtime_client is None and not has_aws_client())
        self.spawner: Spawner = Executing() if own else Parents(self.folder, wanted=options.isolation)
        assemble_runtime(runtime)
        self.fleet = Fleet(
            clock=self.clock,
            spawner=self.spawner,
            folder=self.folder / "environments",
            writer=self._writer,
            is_swept=options.clock == "system",
            new_hex=lambda: self.ids.hex(32),
        )
        self.plane = Plane(
            store=self.store,
            codes=CodeStore(self.folder),
            fleet=self.fleet,
            clock=self.clock,
            ids=self.ids,
            data=self.data,
            pollers=self.plumbing.pollers,
            queue=self.plumbing.asynchronous,
            address=lambda: self.address,
            settle_after=options.settle_after,
        )
        self.blueprints = Blueprints(self.plane, self.spawner, runtime)
        self.invoking = Invoking(
            self.plane, self.blueprints, self.records, faults=self.faults, trace=self.trace, metrics=self.metrics
        )
        self.plumbing.connect(self.invoking, permits=self.invoking.permits)
        self.keys = Keys()
        self.urls = Urls(self.plane, self.invoking, self.keys)
        services: list[Service] = [
            Lambda(self.plane, self.invoking, self.blueprints),
            Logs(self.logs),
            *self.plumbing.services,
        ]
        door = Door(
            services={service.name: service for service in services},
            data=self.data,
            around_s3=self.plumbing.notifications.around,
            own=Control(self).handle,
            urls=self.urls.by_host,
            region=options.region,
            address=lambda: self.address,
            new_id=self.ids.uuid,
            learn=self.keys.learn,
            before=Arrivals(clock=self.clock, faults=self.faults, trace=self.trace, metrics=self.metrics),
        )
        self._dispatch = answering(door.handle)
        self._server: Server | None = None
        self._checkpoint: Checkpoint | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port if self._server is not None else self.options.port

    @property
    def address(self) -> str:
        """Where handlers and answers say it is: on loopback, also when it listens on every address."""
        host = "127.0.0.1" if self.options.host in ("0.0.0.0", "::", "") else self.options.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def start(self) -> None:
        """Listen, on another port when the default one is taken. Raises `OSError` when that cannot be."""
        try:
            self._server = await Server.start(self._dispatch, host=self.options.host, port=self.options.port)
        except OSError:
            if self.options.port != Options().port:
                raise
            self._server = await Server.start(self._dispatch, host=self.options.host, port=0)
        await self.spawner.start()
        self._sweep = asyncio.create_task(asyncio.to_thread(remove_abandoned))
        self.data.prepare()  # in the background: the first role, bucket or table does not wait for it

    async def close(self) -> None:
        """End every process and remove every file of it."""
        if self._server is not None:
            self._server.close()
        self.fleet.close()
        await self.spawner.close()
        await self.data.close()
        await self.clock.close()
        await asyncio.to_thread(self._private.remove)

    async def checkpoint(self) -> None:
        """Remember the state of every service; `restore` goes back to it. There is one checkpoint, the last."""
        await self.data.checkpoint()
        self._checkpoint = Checkpoint(
            now=self.clock.now(),
            ids=self.ids.checkpoint(),
            store=self.store.checkpoint(),
            logs=self.logs.checkpoint(),
            plumbing=self.plumbing.checkpoint(),
        )
        self._forget_the_past()

    async def restore(self) -> None:
        """Go back to the checkpoint, or to nothing without one. Environments that served anything are ended."""
        kept = self._checkpoint
        if kept is None:
            await self.reset()
            return
        if isinstance(self.clock, VirtualClock):
            # The same test takes the same course from here, whatever ran before it.
            await self.clock.rewind(kept.now)
            self.ids.restore(kept.ids)
        self.store.restore(kept.store)  # before the pollers, which ask for their functions
        self.logs.restore(kept.logs)
        self.plumbing.restore(kept.plumbing)
        self.fleet.retire_used()
        self.fleet.retire(lambda key: not self._is_current(key))
        self._forget_the_past()
        concurrency.provision_all(self.plane, self.blueprints)
        await self.data.restore()

    async def reset(self) -> None:
        """Forget everything, the checkpoint too."""
        self._checkpoint = None
        if isinstance(self.clock, VirtualClock):
            await self.clock.rewind(EPOCH)
            self.ids.restore(SeededIds().checkpoint())
        self.store.restore(Store().checkpoint())
        self.logs.reset()
        self.plumbing.reset()
        self.fleet.retire(lambda key: True)
        self._forget_the_past()
        await self.data.reset()

    def _forget_the_past(self) -> None:
        """Let nothing of what was recorded or declared before be seen."""
        self.records.clear()
        self.trace.clear()
        self.faults.clear()
        self.metrics.clear()

    def health(self) -> Mapping[str, object]:
        """What `/_lambdaform/health` says."""
        return {
            "instance": self.instance,
            "pid": os.getpid(),
            "version": version("lambdaform"),
            "started": self.started,
            "endpoint": self.address,
            "region": self.options.region,
            "clock": self.options.clock,
            "runtimes": {"python": f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"},
            "runtime_client": "own" if self.spawner.is_ours else "aws",
            "isolation": self.spawner.isolation,
            "refused": dict(self.spawner.refused),
            "environments": self.fleet.counts(),
        }

    def _writer(self, blueprint: Blueprint, key: Key, stream: str) -> Writer:
        return self.logs.writer(key.account, key.region, blueprint.log_group, stream)

    def _is_current(self, key: Key) -> bool:
        function = self.store.functions.get((key.account, key.region, key.name))
        found = function.version(key.version) if function is not None else None
        return found is not None and found.generation == key.generation
