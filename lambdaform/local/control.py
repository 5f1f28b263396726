"""The local AWS's own paths under `/_lambdaform/`: its health, clock, state, and what happened in it.

JSON in, JSON out. Errors are `{"error": "..."}` with a fitting status.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

import attrs

from lambdaform.local.clock import VirtualClock
from lambdaform.local.door import OWN_PATHS
from lambdaform.local.faults import STRIKES, Trouble
from lambdaform.local.http import Request, Response
from lambdaform.local.lambda_.blueprints import access_key
from lambdaform.local.lambda_.fidelity import not_honoured
from lambdaform.local.lambda_.records import Record
from lambdaform.local.ports import AwsFault, Json
from lambdaform.model.problem import LambdaformError

if TYPE_CHECKING:
    from lambdaform.local.app import LocalAws

_DIGITS = 64
"""Of the names that archives have: SHA-256."""
IDLE_LIMIT = 366 * 86_400.0
"""Seconds of virtual time `run_until_idle` covers at most when the request does not say: schedules never end."""


class Refused(Exception):
    """A request these paths do not take."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Control:
    """Answers for the whole local AWS. It holds no state of AWS's."""

    def __init__(self, aws: LocalAws) -> None:
        self._aws = aws
        self._moving = asyncio.Lock()
        self._routes: Mapping[tuple[str, str], Callable[[Request], Awaitable[Json]]] = {
            ("GET", "health"): self._health,
            ("POST", "reset"): self._reset,
            ("POST", "checkpoint"): self._checkpoint,
            ("POST", "restore"): self._restore,
            ("POST", "keep"): self._keep,
            ("GET", "clock"): self._now,
            ("POST", "clock"): self._move,
            ("GET", "invocations"): self._invocations,
            ("GET", "environments"): self._environments,
            ("GET", "messages"): self._messages,
            ("GET", "fidelity"): self._fidelity,
            ("GET", "trace"): self._trace,
            ("POST", "replay"): self._replay,
            ("POST", "faults"): self._faults,
        }

    async def handle(self, request: Request) -> Response:
        """Answer a request whose path is ours."""
        rest = request.path[len(OWN_PATHS) :]
        head, _, tail = rest.partition("/")
        if head == "url":
            return await self._aws.urls.by_path(request, tail)
        if head == "code" and request.method == "GET":
            return await self._code(unquote(tail))
        if head == "credentials" and request.method == "GET":
            return _json(200, _credentials(tail))
        route = self._routes.get((request.method, rest))
        try:
            if route is None:
                raise Refused(404, f"no such path: {request.method} {request.path}")
            return _json(200, await route(request))
        except Refused as refused:
            return _json(refused.status, {"error": refused.text})

    async def _health(self, request: Request) -> Json:
        return self._aws.health()

    async def _reset(self, request: Request) -> Json:
        await self._aws.reset()
        return {}

    async def _checkpoint(self, request: Request) -> Json:
        await self._aws.checkpoint()
        return {}

    async def _restore(self, request: Request) -> Json:
        await self._aws.restore()
        return {}

    async def _keep(self, request: Request) -> Json:
        """Write the state to the folder it is kept in, and go on."""
        if self._aws.options.persist is None:
            raise Refused(409, "this local AWS keeps nothing; start it with --persist DIR")
        try:
            await self._aws.keep()
        except LambdaformError as error:
            raise Refused(507, error.message) from error
        return {}

    async def _now(self, request: Request) -> Json:
        return {"now": self._aws.clock.now(), "kind": self._aws.options.clock}

    async def _move(self, request: Request) -> Json:
        clock = self._aws.clock
        if not isinstance(clock, VirtualClock):
            raise Refused(409, "this local AWS runs on the system clock; start it with --clock virtual to move time")
        asked = _body(request)
        async with self._moving:  # two clients that move the clock do so one after the other
            return await self._moved(clock, asked)

    async def _moved(self, clock: VirtualClock, asked: Mapping[str, Json]) -> Json:
        if asked.get("run_until_idle"):
            passed = await clock.run_until_idle(float(asked.get("limit", IDLE_LIMIT)))
            return {"now": clock.now(), "passed": passed}
        seconds = asked.get("advance", 0)
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 0:
            raise Refused(400, 'the body must be {"advance": seconds} or {"run_until_idle": true}')
        await clock.advance(float(seconds))
        return {"now": clock.now(), "passed": seconds}

    async def _invocations(self, request: Request) -> Json:
        name = dict(parse_qsl(request.query)).get("function")
        return [_record(record) for record in self._aws.records.of(name)]

    async def _environments(self, request: Request) -> Json:
        """Every execution environment with the phases it has been in, and its process on this machine."""
        name = dict(parse_qsl(request.query)).get("function")
        return [
            {
                "function": key.name,
                "version": key.version,
                "log_stream": each.stream,
                "initialization": each.initialization,
                "tenant": key.tenant or None,
                "snapshot": None if each.copies is None else each.copies.flaw or "copied",
                "pid": each.pid,
                "served": each.served,
                "phase": each.phases.current,
                "phases": [attrs.asdict(stay) for stay in each.phases.history],
            }
            for key, each in self._aws.fleet.environments()
            if name in (None, key.name)
        ]

    async def _messages(self, request: Request) -> Json:
        """Everything in a queue, hidden messages included, without receiving any."""
        arn = dict(parse_qsl(request.query)).get("queue", "")
        try:
            found = self._aws.plumbing.sqs.peek(arn)
        except AwsFault as fault:
            raise Refused(404, f"no queue has the ARN {arn!r}") from fault
        return [
            {
                "id": message.id,
                "body": message.body,
                "attributes": {name: _text(each.value) for name, each in message.attributes.items()},
                "receives": message.receives,
            }
            for message in found
        ]

    async def _trace(self, request: Request) -> Json:
        """The steps after a number, in order."""
        after = dict(parse_qsl(request.query)).get("after", "0")
        if not after.isdigit():
            raise Refused(400, "after must be the number of a step")
        return [attrs.asdict(step) for step in self._aws.trace.steps(int(after))]

    async def _replay(self, request: Request) -> Json:
        """Invoke a function once more with the event of a recorded invocation, synchronously."""
        number = _body(request).get("step")
        step = self._aws.trace.find(number) if isinstance(number, int) else None
        if step is None or step.what != "invocation":
            raise Refused(404, f"no invocation is recorded as step {number}")
        request_id = step.details["request_id"]
        record = next((each for each in self._aws.records.of(None) if each.request_id == request_id), None)
        if record is None:
            raise Refused(410, f"the event of step {number} is not kept any more")
        region = step.subject.split(":")[3]
        outcome = await self._aws.invoking.invoke(step.subject, record.event, region=region)
        fault = None if outcome.fault is None else str(outcome.fault)
        return {
            "function": step.subject,
            "event": _shown(record.event),
            "result": _shown(outcome.payload),
            "error": fault or outcome.function_error,
        }

    async def _faults(self, request: Request) -> Json:
        """Declare one fault, or with `{"clear": true}` none any more."""
        asked = _body(request)
        faults = self._aws.faults
        times = asked.get("times", 1)
        match asked:
            case {"clear": True}:
                faults.clear()
            case {"twice": bool() as twice}:
                faults.delivers_twice = twice
            case {"function": str() as function, "strike": strike} if strike in STRIKES:
                faults.strike(function, strike, int(times))
            case {"function": str() as function, "lasts": int() | float() as seconds}:
                faults.lasts(function, float(seconds))
            case {"service": str() as service}:
                delay, code = float(asked.get("delay", 0.0)), asked.get("code")
                faults.trouble(Trouble(service, code, int(asked.get("status", 500)), delay, int(times)))
            case _:
                raise Refused(400, f"no such fault: {json.dumps(asked)}; strikes are {', '.join(STRIKES)}")
        return {}

    async def _fidelity(self, request: Request) -> Json:
        name = dict(parse_qsl(request.query)).get("function")
        found: dict[str, list[dict[str, str]]] = {}
        is_isolated = self._aws.spawner.isolation == "namespaces"
        for function in self._aws.store.functions.values():
            if name in (None, function.name, function.arn):
                found[function.arn] = [
                    {"setting": each.setting, "says": each.says}
                    for each in not_honoured(
                        function,
                        is_isolated=is_isolated,
                        has_shares=self._aws.has_shares,
                        now=self._aws.clock.now(),
                    )
                ]
        others = {
            resource: [{"setting": each.setting, "says": each.says} for each in held]
            for resource, held in self._aws.plumbing.not_honoured().items()
        }
        return {"functions": found, "resources": others}

    async def _code(self, name: str) -> Response:
        key = name.removesuffix(".zip")
        path = self._aws.plane.codes.archive(key)
        if len(key) != _DIGITS or not key.isalnum() or not path.is_file():
            return _json(404, {"error": f"no code called {name}"})
        return Response(200, await asyncio.to_thread(path.read_bytes), [("Content-Type", "application/zip")])


def _credentials(account: str) -> Json:
    """What the SDKs of restored environments ask for, in the shape of container credentials.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
    """
    expires = datetime.now(UTC) + timedelta(hours=6)  # handlers are on the real clock
    return {
        "AccessKeyId": access_key(account),
        "SecretAccessKey": "local",
        "Token": "local",
        "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _record(record: Record) -> dict[str, Json]:
    return {
        "function": record.function,
        "version": record.version,
        "request_id": record.request_id,
        "event": _shown(record.event),
        "result": _shown(record.result),
        "error": record.error,
        "attempt": record.attempt,
        "cold": record.is_cold,
        "logs": record.logs,
        "started": record.started,
        "duration_ms": record.duration,
    }


def _shown(payload: bytes) -> Json:
    """JSON as JSON, anything else as text."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload.decode("utf-8", "replace")


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else base64.b64encode(value).decode()


def _body(request: Request) -> Mapping[str, Json]:
    try:
        document: Json = json.loads(request.body or b"{}")
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Refused(400, "the body must be a JSON object")
    return document  # pyright: ignore[reportUnknownVariableType] - JSON objects have text keys


def _json(status: int, document: Json) -> Response:
    return Response(status, json.dumps(document).encode(), [("Content-Type", "application/json")])
