"""Synchronous invocations of warm functions, taken straight from the request to the environment and back.

What a client asks for again and again is known from its request line and signature; where an environment is at hand
nothing has to be waited for before the handler has its event. So there is no task and no turn of the loop between a
request and its handler. Whatever is not as simple as that, any
refusal among it, goes the usual way, which comes to the same.
"""

from __future__ import annotations

import functools
import time

import attrs

from lambdaform.local import door, models, protocol
from lambdaform.local.arrivals import HEADER
from lambdaform.local.http import Connection, Dispatch, Request, Response, print_failure
from lambdaform.local.lambda_.endings import UNHANDLED, Ending
from lambdaform.local.lambda_.invoking import LARGEST_REQUEST, Invoking, check_json
from lambdaform.local.lambda_.naming import Reference, refer
from lambdaform.local.lambda_.plane import Plane
from lambdaform.local.lambda_.targets import Target, fixed_target
from lambdaform.local.ports import AwsFault

_FAILURE = Response(500, b'{"message": "internal failure of the local AWS; see its standard error"}')
_KEPT = 512
"""Requests that are remembered: clients ask for the same ones again and again."""
_TYPE, _SYNCHRONOUS = "x-amz-invocation-type", "RequestResponse"


@attrs.define(eq=False)
class _Known:
    """What was made of a request before."""

    reference: Reference
    target: Target | None = None
    """What the name stood for, which holds as long as the function is the same value."""


class Express:
    """A dispatcher of requests that answers what it can at once; `otherwise` gets the others."""

    def __init__(self, plane: Plane, invoking: Invoking, *, region: str, otherwise: Dispatch) -> None:
        self._plane = plane
        self._invoking = invoking
        self._region = region
        self._otherwise = otherwise
        self._known: dict[tuple[str, str], _Known | None] = {}

    @functools.cached_property
    def _model(self) -> models.Model:
        return models.model("lambda")

    @functools.cached_property
    def _unusual(self) -> frozenset[str]:
        """Headers that ask for more; what has a trace header comes from a handler, and has its causes."""
        shape = self._model.shape("InvocationRequest")
        return frozenset(
            {called for _, _, location, called in shape.placed if location == "header"} - {_TYPE} | {HEADER}
        )

    def dispatch(self, connection: Connection, request: Request) -> None:
        """Take a request, or hand it on."""
        try:
            is_taken = self._is_taken(connection, request)
            if not is_taken:
                self._invoking.catch_up()  # whoever asks sees all that was answered before
        except Exception as error:  # noqa: BLE001 - nothing a request does may end the process
            print_failure(error, request)
            connection.answer(_FAILURE)
        else:
            if not is_taken:
                self._otherwise(connection, request)

    def _is_taken(self, connection: Connection, request: Request) -> bool:
        headers = request.headers
        if (
            request.method != "POST"
            or not self._unusual.isdisjoint(headers)
            or headers.get(_TYPE, _SYNCHRONOUS) != _SYNCHRONOUS
        ):
            return False
        signature = headers.get("authorization")
        scope = signature.partition(",")[0] if signature is not None else ""
        if "x-amz-target" in headers or (signature is not None and "Credential=" not in scope):
            return False  # whose request it is depends on more
        key = (request.target, scope)
        known = self._known[key] if key in self._known else self._learn(key, request)
        if known is None or ".lambda-url." in headers.get("host", ""):
            return False
        reference, target = known.reference, known.target
        body = request.body
        if target is None or target.function is not self._plane.find(reference):
            target = known.target = fixed_target(self._plane, reference)
        if target is None or len(body) > LARGEST_REQUEST:
            return False
        try:
            check_json(body)
        except AwsFault:
            return False
        request_id = self._plane.ids.uuid()

        def failed(error: Exception) -> None:
            print_failure(error, request)
            connection.answer(_FAILURE)

        return self._invoking.run_at_once(
            target,
            body,
            request_id=request_id,
            done=lambda ending: connection.answer_ok(_fields(ending, target, request_id), ending.payload),
            failed=failed,
        )

    def _learn(self, key: tuple[str, str], request: Request) -> _Known | None:
        """What a request is that was not seen before; None where it is not for here."""
        if len(self._known) >= _KEPT:
            self._known.clear()
        known = self._known[key] = self._read(request)
        return known

    def _read(self, request: Request) -> _Known | None:
        where = door.destination(request, region=self._region)
        if where.service != "lambda":
            return None
        try:
            parsed = protocol.parse(self._model, attrs.evolve(request, body=b""))
            if parsed.operation.name != "Invoke":
                return None
            name, qualifier = parsed.params["FunctionName"], parsed.params.get("Qualifier")
            reference = refer(name, qualifier, account=where.account, region=where.region)
        except AwsFault:
            return None
        return _Known(reference)


def _fields(ending: Ending, target: Target, request_id: str) -> str:
    """The header lines that answer a synchronous invocation, as the service's model has them."""
    error = f"X-Amz-Function-Error: {UNHANDLED}\r\n" if ending.is_error else ""
    return (
        f"x-amzn-RequestId: {request_id}\r\nDate: {protocol.date(int(time.time()))}\r\n{error}"
        f"X-Amz-Executed-Version: {target.version.number}\r\nContent-Type: application/json\r\n"
    )
