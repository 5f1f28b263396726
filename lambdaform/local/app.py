"""The local AWS, composed: clock, library services, event services, Lambda, Logs, and the door in front of them.

One `LocalAws` is one process's worth of state. `__main__` runs it as a program; nothing else needs to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal, cast

import attrs

from lambdaform.local.arrivals import Arrivals
from lambdaform.local.asynchronous import FIRST_WAIT
from lambdaform.local.brokers import Brokers
from lambdaform.local.clock import EPOCH, RandomIds, SeededIds, SystemClock, VirtualClock
from lambdaform.local.control import Control
from lambdaform.local.data import MotoServices
from lambdaform.local.door import Door
from lambdaform.local.faults import Faults
from lambdaform.local.folders import PrivateFolder, remove_abandoned
from lambdaform.local.http import Server, answering
from lambdaform.local.lambda_ import concurrency, snap_start
from lambdaform.local.lambda_.anticipation import Anticipation
from lambdaform.local.lambda_.blueprint import Blueprint
from lambdaform.local.lambda_.blueprints import Blueprints
from lambdaform.local.lambda_.busy_poll import LEAST_PROCESSORS, BusyPoll
from lambdaform.local.lambda_.code import CodeStore
from lambdaform.local.lambda_.cpu import Shares, processors
from lambdaform.local.lambda_.express import Express
from lambdaform.local.lambda_.functions import became_active
from lambdaform.local.lambda_.invoking import Invoking
from lambdaform.local.lambda_.metrics import Metrics
from lambdaform.local.lambda_.naming import LATEST
from lambdaform.local.lambda_.plane import Plane
from lambdaform.local.lambda_.processes import Executing, Parents, Spawner
from lambdaform.local.lambda_.records import Records
from lambdaform.local.lambda_.running import Fleet, Key
from lambdaform.local.lambda_.service import Lambda
from lambdaform.local.lambda_.shipped import assemble_runtime, has_aws_client
from lambdaform.local.lambda_.store import Snapshot, Store
from lambdaform.local.lambda_.targets import key_of
from lambdaform.local.lambda_.values import Function, Version
from lambdaform.local.logs import Logs, LogStore, Subscriptions
from lambdaform.local.logs.store import Writer
from lambdaform.local.persistence import Kept, Persistence
from lambdaform.local.plumbing import Plumbing
from lambdaform.local.ports import Service
from lambdaform.local.signatures import Keys
from lambdaform.local.trace import Trace
from lambdaform.local.urls import Urls

_LOOK = 0.02
"""Seconds between looks at whether everything has ended."""


@attrs.frozen
class Options:
    """How a local AWS is started."""

    host: str = "127.0.0.1"
    port: int = 4566
    region: str = "us-east-1"
    clock: Literal["system", "virtual"] = "system"
    speed: float = 1.0
    """How many times faster than the machine's the system clock runs."""
    retry_delay: float = FIRST_WAIT
    """Seconds before the first retry of an asynchronous event that failed; the second takes twice as long to come."""
    settle_after: float = 0.0
    """Seconds a new or changed function or mapping is not ready."""
    runtime_client: Literal["aws", "own"] | None = None
    """Which runtime client handlers run under; AWS's where it is installed when None."""
    isolation: Literal["auto", "processes"] = "auto"
    """`auto` gives handlers Lambda's file system where the machine allows it, `processes` this machine's."""
    cpu_share: bool = False
    """Whether handlers get only the share of the processor that goes with their memory."""
    brokers: Brokers = attrs.field(factory=Brokers)
    """Where brokers are that mappings read."""
    persist: Path | None = None
    """The folder whose state it goes on from and leaves its own in; None forgets everything at the end."""


@attrs.frozen
class Checkpoint:
    """Everything in memory at one moment; the library's process keeps its part itself."""

    now: float
    ids: object
    store: Snapshot
    logs: object
    plumbing: object


@attrs.frozen
class _Kept:
    """A checkpoint for another process, with what an own one need not hold."""

    checkpoint: Checkpoint
    keys: object
    last_generation: int


class LocalAws:
    """See the module. `start` before use, `close` in the end; both in one event loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._persistence = Persistence(options.persist) if options.persist is not None else None
        self.instance = str(uuid.uuid4())
        self.started = time.time()
        self.clock = VirtualClock() if options.clock == "virtual" else SystemClock(speed=options.speed)
        self.ids = SeededIds() if options.clock == "virtual" else RandomIds()
        self._private = PrivateFolder()
        self.folder = self._private.path
        self.data = MotoServices(clock=self.clock, port=lambda: self.port)
        self.trace = Trace(self.clock.now)
        self.metrics = Metrics(self.data)
        self.plumbing = Plumbing(
            clock=self.clock,
            ids=self.ids,
            data=self.data,
            trace=self.trace,
            metrics=self.metrics,
            retry_delay=options.retry_delay,
            brokers=options.brokers,
        )
        self.store = Store()
        self.logs = LogStore(self.clock.now)
        self.records = Records()
        self.faults = Faults()
        runtime = self.folder / "runtime"
        own = options.runtime_client == "own" or (options.runtime_client is None and not has_aws_client())
        self.spawner: Spawner = Executing() if own else Parents(self.folder, wanted=options.isolation)
        assemble_runtime(runtime)
        self.refused: dict[str, str] = {}
        """Parts of isolation that were wanted and that this machine does not allow, with why."""
        self._shares = self._made_shares() if options.cpu_share else None
        self.fleet = Fleet(
            clock=self.clock,
            spawner=self.spawner,
            folder=self.folder / "environments",
            writer=self._writer,
            is_swept=options.clock == "system",
            new_hex=lambda: self.ids.hex(32),
            shares=self._shares,
            busy_poll=self._busy_poll(),
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
        self._anticipation: Anticipation | None = None
        if options.clock == "system":
            self._anticipation = self._anticipating()
        self.plumbing.connect(self.invoking, permits=self.invoking.permits)
        self.keys = Keys()
        self.urls = Urls(self.plane, self.invoking, self.keys)
        services: list[Service] = [
            Lambda(self.plane, self.invoking, self.blueprints),
            Logs(
                self.logs,
                Subscriptions(
                    clock=self.clock,
                    delivery=self.plumbing.delivery,
                    store=self.logs,
                    permits=self.invoking.permits,
                ),
            ),
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
        usual = answering(door.handle)
        self._dispatch = Express(self.plane, self.invoking, region=options.region, otherwise=usual).dispatch
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
        """Listen, on another port when the default one is taken, and go on from the state that was kept.

        Raises `OSError` when it cannot listen, `LambdaformError` when the state cannot be read.
        """
        kept = self._persistence.load(self.options.clock) if self._persistence is not None else None
        await self.spawner.start()
        if kept is not None:
            await self._take_over(kept)
        self._server = await self._listen(kept.manifest.port if kept is not None else None)
        if kept is not None:
            self._go_on(kept)
        self._sweep = asyncio.create_task(asyncio.to_thread(remove_abandoned))
        self.data.prepare()  # in the background: the first role, bucket or table does not wait for it

    @property
    def has_shares(self) -> bool:
        """Whether handlers are held to the share of the processor that goes with their memory."""
        return self._shares is not None

    def _busy_poll(self) -> BusyPoll | None:
        if self.options.clock == "virtual" or processors() < LEAST_PROCESSORS:
            return None
        return BusyPoll(call_soon=lambda poll: asyncio.get_running_loop().call_soon(poll), now=time.monotonic)

    def _made_shares(self) -> Shares | None:
        try:
            return Shares()
        except OSError as error:
            self.refused["share of the processor"] = error.strerror or str(error)
            return None

    def _anticipating(self) -> Anticipation:
        """Have the next environments made of what is deployed and of what is started."""

        async def make(function: Function, version: Version, blueprint: Blueprint) -> None:
            if version.is_per_tenant:
                return  # whose the next one will be is not known
            await self.fleet.make_ahead(key_of(function, version), blueprint)

        made = Anticipation(find=self.store.functions.get, blueprint=self.blueprints.of, make=make, run=self.clock.run)
        self.plane.settled.tell = lambda key: made.expect(*key, LATEST)
        self.fleet.started = lambda key: made.expect(key.account, key.region, key.name, key.version)
        return made

    async def _listen(self, before: int | None) -> Server:
        """Listen where the addresses handed out before say, else where asked, else, by default, anywhere."""
        asked = self.options.port
        is_free = asked in (0, Options().port)
        ports = [before] if before is not None and is_free else []
        ports += [asked, *([0] if is_free and asked else [])]
        for port in ports[:-1]:
            with contextlib.suppress(OSError):
                return await Server.start(self._dispatch, host=self.options.host, port=port)
        return await Server.start(self._dispatch, host=self.options.host, port=ports[-1])

    async def finish(self, seconds: float) -> None:
        """Begin nothing new, and wait up to `seconds` of real time for what is under way.

        Events that wait for another attempt are kept where there is a folder for them, and otherwise have it now.
        Under a virtual clock nothing happens by itself, so they stay where they are.
        """
        self.plumbing.pollers.pause()
        queue = self.plumbing.asynchronous
        may_end = self._persistence is None and self.options.clock == "system"
        if may_end:
            queue.end()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.fleet.counts()["busy"] and not (queue.unfinished() if may_end else queue.trying()):
                break
            await asyncio.sleep(_LOOK)
        left = queue.unfinished()
        if left and self._persistence is None:
            names = ", ".join(sorted({event.function.rpartition(":function:")[2] for event in left}))
            sys.stderr.write(
                f"lambdaform local: {len(left)} asynchronous event{'s' if len(left) > 1 else ''} for {names} did not "
                "come to an end; --persist DIR keeps such for the next start\n"
            )

    async def keep(self, *, is_clean: bool = False) -> None:
        """Write everything to the folder of `Options.persist`, if there is one. Raises `LambdaformError`."""
        if self._persistence is None:
            return
        self.invoking.catch_up()
        await self.metrics.hand_over()
        services = await self.data.save()
        self.invoking.catch_up()
        state = _Kept(
            Checkpoint(
                now=self.clock.now(),
                ids=self.ids.checkpoint(),
                store=self.store.checkpoint(),
                logs=self.logs.checkpoint(),
                plumbing=self.plumbing.kept(),
            ),
            keys=self.keys.checkpoint(),
            last_generation=self.plane.generations.last,
        )
        self._persistence.save(
            instance=self.instance,
            port=self.port,
            clock=self.options.clock,
            state=state,
            services=services,
            archives=[self.plane.codes.archive(key) for key in self.store.archives()],
            is_clean=is_clean,
        )

    async def _take_over(self, found: Kept) -> None:
        """Have everything that another process kept."""
        assert self._persistence is not None
        kept, manifest = cast(_Kept, found.state), found.manifest
        self.instance = manifest.instance
        self._persistence.restore_archives(self.plane.codes.archives)
        await self.data.load(found.services)
        if isinstance(self.clock, VirtualClock):
            await self.clock.rewind(kept.checkpoint.now)
            self.ids.restore(kept.checkpoint.ids)
        else:
            self.clock.not_before(kept.checkpoint.now)
        self.keys.restore(kept.keys)
        self.plane.generations.last = kept.last_generation
        self.store.restore(kept.checkpoint.store)
        for key in list(self.store.functions):
            self.store.change(key, became_active(self.plane))
        self.logs.restore(kept.checkpoint.logs)
        if not manifest.is_clean:
            moment = datetime.fromtimestamp(manifest.saved_at).astimezone()
            sys.stderr.write(
                f"lambdaform local: the last run did not end by itself; what it did after {moment:%Y-%m-%d %H:%M:%S}, "
                "when its state was last kept, is lost\n"
            )
        self._persistence.begin(manifest)

    def _go_on(self, found: Kept) -> None:
        """Let go on what was under way; functions can be run from here on."""
        self.plumbing.restore(cast(_Kept, found.state).checkpoint.plumbing)
        concurrency.provision_all(self.plane, self.blueprints)
        snap_start.take_all(self.plane, self.blueprints)

    async def close(self) -> None:
        """End every process and remove every file of it."""
        if self._server is not None:
            self._server.close()
        if self._anticipation is not None:
            self._anticipation.close()
        await self.plumbing.pollers.close()
        await self.fleet.close()
        await self.spawner.close()
        if self._shares is not None:
            await asyncio.to_thread(self._shares.close)
        await self.data.close()
        await self.clock.close()
        await asyncio.to_thread(self._private.remove)
        if self._persistence is not None:
            self._persistence.close()

    async def checkpoint(self) -> None:
        """Remember the state of every service; `restore` goes back to it. There is one checkpoint, the last."""
        await self.data.checkpoint()
        self.invoking.catch_up()
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
        self.invoking.catch_up()
        self.store.restore(kept.store)  # before the pollers, which ask for their functions
        self.logs.restore(kept.logs)
        self.plumbing.restore(kept.plumbing)
        self.fleet.retire_used()
        self.fleet.retire(lambda key: not self._is_current(key), at_once=True)
        self._forget_the_past()
        concurrency.provision_all(self.plane, self.blueprints)
        snap_start.take_all(self.plane, self.blueprints)
        await self.data.restore()

    async def reset(self) -> None:
        """Forget everything, the checkpoint too."""
        self._checkpoint = None
        if isinstance(self.clock, VirtualClock):
            await self.clock.rewind(EPOCH)
            self.ids.restore(SeededIds().checkpoint())
        self.invoking.catch_up()
        self.store.restore(Store().checkpoint())
        self.logs.reset()
        self.plumbing.reset()
        self.fleet.retire(lambda key: True, at_once=True)
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
            "speed": self.options.speed,
            "runtimes": {"python": f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"},
            "runtime_client": "own" if self.spawner.is_ours else "aws",
            "isolation": self.spawner.isolation,
            "refused": {**self.spawner.refused, **self.refused},
            "environments": self.fleet.counts(),
        }

    def _writer(self, blueprint: Blueprint, key: Key, stream: str) -> Writer:
        return self.logs.writer(key.account, key.region, blueprint.log_group, stream)

    def _is_current(self, key: Key) -> bool:
        function = self.store.functions.get((key.account, key.region, key.name))
        found = function.version(key.version) if function is not None else None
        return found is not None and found.generation == key.generation
