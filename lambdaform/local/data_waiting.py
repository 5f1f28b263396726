"""How the library's executions of state machines wait: by the clock of the local AWS rather than by the machine's.

An execution is some threads that wait for time, for each other, and for answers. `install` gives the library's modules
threads, events and sleeping that tell `Pace`, which tells the local AWS: that something runs or nothing does any more,
that somebody waits so many seconds, or does not any longer. Where the clock is virtual, the threads also take turns in
a fixed order.

Loaded by `data_child` from its file; imports nothing of lambdaform. Where the clock is the machine's own, none of this
is used.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections import deque
from collections.abc import Callable
from types import ModuleType
from typing import Any

FOREVER = 99_999_999
"""The library's word for no timeout, in seconds."""
PATIENCE = 2.0
"""Seconds of real time a thread waits for its turn: the one whose turn it is may, in its task, wait for this one."""
EXECUTION_HEADER = "X-Lambdaform-Execution"
"""With requests of an execution's tasks: they must not be taken for a client's, which waits until executions rest."""
_PARSER = "moto.stepfunctions.parser"
_EXEC = f"{_PARSER}.asl.component.state.exec"
WAITING_MODULES = {
    f"{_PARSER}.asl.eval.environment": ("threading",),
    f"{_PARSER}.asl.eval.callback.callback": ("Event",),
    f"{_PARSER}.asl.component.program.program": ("threading",),
    f"{_PARSER}.asl.component.common.retry.retrier_decl": ("time",),
    f"{_EXEC}.execute_state": ("threading", "Thread"),
    f"{_EXEC}.state_map.iteration.inline_iteration_component": ("threading",),
    f"{_EXEC}.state_map.iteration.job": ("threading",),
    f"{_EXEC}.state_parallel.branch_worker": ("threading",),
    f"{_EXEC}.state_parallel.branches_decl": ("threading",),
    f"{_EXEC}.state_task.service.state_task_service_callback": ("threading", "time"),
}
"""The library's modules that wait, and by what names. What begins an execution and the state Wait come apart."""

Tell = Callable[[dict[str, Any]], None]


class Seat:
    """What one thread of an execution blocks on while it is not its turn, or while it waits."""

    def __init__(self) -> None:
        self.go = threading.Event()


class Wait:
    """One wait of one thread for an event, for so many seconds or for ever."""

    def __init__(self, seat: Seat | None) -> None:
        self.seat = seat
        self.go = threading.Event() if seat is None else seat.go
        self.number: int | None = None
        self.is_over = False
        self.was_set = False


class Pace:
    """Which threads of executions run, whose turn it is, and what they wait for. One per process.

    `tell` is called in the order in which things happen; `catch_up` lets a thread that goes on see the clock's time.
    """

    def __init__(self, tell: Tell, catch_up: Callable[[], None], *, one_at_a_time: bool) -> None:
        self._tell = tell
        self._catch_up = catch_up
        self._one_at_a_time = one_at_a_time
        self._numbers = 0
        self._here = threading.local()
        self.forget()

    def forget(self) -> None:
        """Begin anew, in a copy of the process: threads are not copied, so nothing of them is true there."""
        self.lock = threading.Lock()
        self._active = 0
        self._running: Seat | None = None
        self._ready = deque[Seat]()
        self._timed = dict[int, Wait]()

    def seat(self) -> Seat | None:
        """That of the calling thread; None when it is no execution's."""
        return getattr(self._here, "seat", None)

    def wake(self, number: int) -> None:
        """The time that a wait is for has come."""
        with self.lock:
            wait = self._timed.get(number)
            if wait is not None:
                self.finish(wait, was_set=False)

    # -- for threads

    def begin(self) -> Seat:
        """Count a thread that is about to be started."""
        seat = Seat()
        with self.lock:
            self._go_on(seat)
        return seat

    def sit(self, seat: Seat) -> None:
        """Called in that thread first: returns when it is its turn."""
        self._here.seat = seat
        self._until_turn(seat)

    def leave(self, seat: Seat) -> None:
        """Called in that thread last."""
        with self.lock:
            self._rest(seat)

    # -- for events

    def wait(self, wait: Wait, timeout: float | None) -> bool:
        """Block until somebody finishes the wait; returns whether its event was set. Entered with the lock held."""
        seat = wait.seat
        if seat is None:  # a thread of the library that serves a request: no execution, so the machine's time
            self.lock.release()
            wait.go.wait(timeout)
            self.lock.acquire()
            wait.is_over = True
            return wait.was_set
        if timeout is not None and timeout < FOREVER:
            self._catch_up()
            self._numbers += 1
            wait.number = self._numbers
            self._timed[wait.number] = wait
            self._tell({"told": "waits", "wait": wait.number, "seconds": max(0.0, timeout)})
        self._rest(seat)
        self.lock.release()
        self._until_turn(seat)
        self.lock.acquire()
        return wait.was_set

    def finish(self, wait: Wait, *, was_set: bool) -> None:
        """Let a waiting thread go on. Called with the lock held."""
        if wait.is_over:
            return
        wait.is_over, wait.was_set = True, was_set
        if wait.number is not None:
            del self._timed[wait.number]
            if was_set:
                self._tell({"told": "waits no longer", "wait": wait.number})
        if wait.seat is None:
            wait.go.set()
        else:
            self._go_on(wait.seat)

    def _go_on(self, seat: Seat) -> None:
        # Counted from the moment it can run, not only when it does: there is no moment at which nothing seems to run.
        self._active += 1
        if self._active == 1:
            self._tell({"told": "runs"})
        if self._one_at_a_time and self._running is not None:
            self._ready.append(seat)
        else:
            self._running = seat
            seat.go.set()

    def _rest(self, seat: Seat) -> None:
        self._active -= 1
        if self._running is seat:
            self._running = None
            if self._ready:
                self._running = self._ready.popleft()
                self._running.go.set()
        if self._active == 0:
            self._tell({"told": "rests"})

    def _until_turn(self, seat: Seat) -> None:
        while not seat.go.wait(PATIENCE if self._one_at_a_time else None):
            with self.lock:
                if seat in self._ready:
                    self._ready.remove(seat)
                    self._running = seat
                    seat.go.set()
        seat.go.clear()
        self._catch_up()


class Event:
    """As `threading.Event`, with waits of executions by the clock."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._is_set = False
        self._waits: list[Wait] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        with self._pace.lock:
            self._is_set = True
            waits, self._waits = self._waits, []
            for wait in waits:
                self._pace.finish(wait, was_set=True)

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        with self._pace.lock:
            if self._is_set:
                return True
            wait = Wait(self._pace.seat())
            self._waits.append(wait)
            was_set = self._pace.wait(wait, timeout)
            with contextlib.suppress(ValueError):
                self._waits.remove(wait)
            return was_set


class Thread(threading.Thread):
    """A thread that belongs to an execution when the one that starts it does, or when it `begins_one`."""

    pace: Pace
    begins_one = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._over = Event(self.pace)
        self._seat: Seat | None = None

    def start(self) -> None:
        if self.begins_one or self.pace.seat() is not None:
            self._seat = self.pace.begin()
        super().start()

    def run(self) -> None:
        if self._seat is None:
            super().run()
            self._over.set()
            return
        self.pace.sit(self._seat)
        try:
            super().run()
        finally:
            self._over.set()
            self.pace.leave(self._seat)

    def join(self, timeout: float | None = None) -> None:
        self._over.wait(timeout)

    def is_alive(self) -> bool:
        return super().is_alive() and not self._over.is_set()


class _Instead:
    """A module with some names of its own in their place."""

    def __init__(self, module: ModuleType, **names: Any) -> None:
        self._module = module
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def install(pace: Pace) -> None:
    """Make the library's executions keep that pace, from now on: there must be none yet."""
    of_pace: Any = type("Thread", (Thread,), {"pace": pace})
    first: Any = type("Thread", (of_pace,), {"begins_one": True})

    def event() -> Event:
        return Event(pace)

    def sleep(seconds: float) -> None:
        if seconds > 0:
            Event(pace).wait(seconds)

    names: dict[str, Any] = {
        "threading": _Instead(threading, Thread=of_pace, Event=event),
        "Thread": of_pace,
        "Event": event,
        "time": _Instead(time, sleep=sleep),
    }
    _send_along_who_asks()  # before the others, which take its function by name
    for module, replaced in WAITING_MODULES.items():
        found = importlib.import_module(module)
        for name in replaced:
            setattr(found, name, names[name])
    worker: Any = importlib.import_module(f"{_PARSER}.backend.execution_worker")
    worker.Thread = first
    waits: Any = importlib.import_module(f"{_PARSER}.asl.component.state.wait.wait_function.wait_function")
    waits.WaitFunction._wait_interval = _wait_interval


def _wait_interval(_: Any, env: Any, wait_seconds: float) -> None:
    """What a state Wait does: until the time has come, or its execution is over."""
    until = time.time() + wait_seconds
    left = wait_seconds
    while left > 0 and env.program_state_event.wait(left) and env.is_running():
        left = until - time.time()


def _send_along_who_asks() -> None:
    clients: Any = importlib.import_module(f"{_PARSER}.asl.utils.boto_client")
    boto3: Any = importlib.import_module("boto3")

    def mark(params: dict[str, Any], **_: Any) -> None:
        params["headers"][EXECUTION_HEADER] = "1"

    def client(*args: Any, **kwargs: Any) -> Any:
        made = boto3.client(*args, **kwargs)
        made.meta.events.register("before-call", mark)
        return made

    clients.boto3 = _Instead(boto3, client=client)
