"""The one port: decides whose request it is, and passes it on.

Requests for our services go through the service's model to its `Service`; requests for every other service go as they
are to the library's process; `/_lambdaform/...` and function URL hosts are handed to their own parts. Whatever comes
in, the answer has the shape AWS's clients read and the process goes on.
"""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from urllib.parse import parse_qs, parse_qsl

import attrs

from lambdaform.local import models, protocol
from lambdaform.local.http import Request, Response, print_failure
from lambdaform.local.ports import ACCOUNT, AwsFault, Call, DataServices, Service

OWN_PATHS = "/_lambdaform/"
"""Where the local AWS speaks for itself."""

_SCOPE = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")
_LAMBDA_PATH = re.compile(
    r"/20\d\d-\d\d-\d\d/(functions|layers|event-source-mappings|tags|account-settings|code-signing-configs|"
    r"capacity-providers|durable-execution|resource-policy)"
)
_SCHEDULER_PATH = re.compile(r"/(schedules|schedule-groups)(/|$|\?)")
_HOST = re.compile(r"(?:^|\.)([a-z][a-z0-9-]*)\.([a-z]{2}(?:-[a-z]+)+-\d)\.")
_VERSIONS: Mapping[str, str] = {"2012-11-05": "sqs", "2010-03-31": "sns"}
_URL_HOST = re.compile(r"[a-z0-9]+\.lambda-url\.")

Forward = Callable[[], Awaitable[tuple[int, list[tuple[str, str]], bytes]]]


class Around(Protocol):
    """What happens around a request to S3: notifications of what it changed."""

    async def __call__(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes,
        forward: Forward,
        *,
        region: str,
        account: str,
        request_id: str,
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Pass the request on by `forward` and answer what the client gets."""
        ...


@attrs.frozen
class Destination:
    """Whose request it is, and as whom and where it was made."""

    service: str
    """The signing name, which is botocore's service name for the services of ours."""
    region: str
    account: str


def destination(request: Request, *, region: str) -> Destination:
    """Decide a request's service: by its signature's scope, else by target, path, host, or action.

    Unsigned requests nothing else is known of are S3's: public objects, presigned and form uploads look like that.
    """
    signature = request.headers.get("authorization")
    # The scope comes first, unless somebody signs by hand.
    found = (_of_scope(signature.partition(",")[0]) or _of_scope(signature)) if signature is not None else None
    if found is None and "X-Amz-Credential" in request.target:
        given = parse_qs(request.query).get("X-Amz-Credential", [""])[0]
        found = _of_scope("Credential=" + given)
    return found or Destination(_unsigned_service(request), region, ACCOUNT)


@functools.lru_cache(maxsize=1000)
def _of_scope(signed: str) -> Destination | None:
    """What the scope of a signature says, which is the same in all of a client's requests of a day."""
    scope = _SCOPE.search(signed)
    if scope is None:
        return None
    key, region, service = scope.groups()
    return Destination(service, region, key if len(key) == 12 and key.isdigit() else ACCOUNT)


def _unsigned_service(request: Request) -> str:
    target = request.headers.get("x-amz-target", "")
    prefix = target.rpartition(".")[0]
    by_target = {"AmazonSQS": "sqs", "AWSEvents": "events", "Logs_20140328": "logs"}.get(prefix)
    if by_target is not None:
        return by_target
    if target:
        return prefix
    if _LAMBDA_PATH.match(request.path):
        return "lambda"
    if _SCHEDULER_PATH.match(request.path):
        return "scheduler"
    host = _HOST.search(request.headers.get("host", ""))
    if host is not None:
        return host.group(1)
    if "form-urlencoded" in request.headers.get("content-type", "") or "Action=" in request.query:
        form = dict(parse_qsl(request.query)) | dict(parse_qsl(request.body[:100_000].decode("utf-8", "replace")))
        if "Action" in form:
            return _VERSIONS.get(form.get("Version", ""), "unknown")
    return "s3"


class Before(Protocol):
    """What is done with a request before it is looked at."""

    async def __call__(self, request: Request, where: Destination | None) -> None:
        """`where` is None for what is no service's. Raises `AwsFault` when the request is to be refused."""
        ...


class Door:
    """The handler behind the port. It holds no state of its own."""

    def __init__(
        self,
        *,
        services: Mapping[str, Service],
        data: DataServices,
        around_s3: Around | None,
        own: Callable[[Request], Awaitable[Response]],
        urls: Callable[[Request], Awaitable[Response]],
        region: str,
        address: Callable[[], str],
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        before: Before | None = None,
        learn: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        self._services = services
        self._data = data
        self._around_s3 = around_s3
        self._own = own
        self._urls = urls
        self._region = region
        self._address = address
        self._new_id = new_id
        self._before = before
        self._learn = learn

    async def handle(self, request: Request) -> Response:
        """Answer any request."""
        if request.target.startswith(OWN_PATHS):
            await self._arrive(request, None)
            return await self._own(request)
        host = request.headers.get("host", "")
        if ".lambda-url." in host and _URL_HOST.match(host):
            await self._arrive(request, None)
            return await self._urls(request)
        where = destination(request, region=self._region)
        try:
            await self._arrive(request, where)
        except AwsFault as fault:
            return self._refusal(request, where, fault)
        service = self._services.get(where.service)
        if service is None:
            return await self._pass_on(request, where)
        return await self._serve(service, request, where)

    async def _serve(self, service: Service, request: Request, where: Destination) -> Response:
        model = models.model(service.name)
        request_id = self._new_id()
        try:
            parsed = protocol.parse(model, request)
            call = Call(
                service=service.name,
                operation=parsed.operation.name,
                params=parsed.params,
                region=where.region,
                account=where.account,
                request_id=request_id,
                endpoint=self._endpoint(request),
                headers=request.headers,
            )
            return protocol.answer(model, parsed, await service.handle(call), request_id)
        except AwsFault as fault:
            return protocol.refuse(model, protocol.style_of(model, request), fault, request_id)
        except NotImplementedError as missing:
            text = str(missing) or f"{service.name} does not offer this operation here"
            unknown = AwsFault("NotImplemented", text, status=501, type="Service")
            return protocol.refuse(model, protocol.style_of(model, request), unknown, request_id)
        except Exception as error:  # noqa: BLE001 - a bug of ours is answered as AWS answers its own
            print_failure(error, request)
            text = f"bug in the local AWS, see its standard error: {type(error).__name__}: {error}"
            bug = AwsFault("InternalFailure", text, status=500, type="Service")
            return protocol.refuse(model, protocol.style_of(model, request), bug, request_id)

    async def _pass_on(self, request: Request, where: Destination) -> Response:
        async def forward() -> tuple[int, list[tuple[str, str]], bytes]:
            return await self._data.request(request.method, request.target, request.headers, request.body)

        try:
            if where.service == "s3" and self._around_s3 is not None:
                status, headers, body = await self._around_s3(
                    request.method,
                    request.path,
                    request.query,
                    request.headers,
                    request.body,
                    forward,
                    region=where.region,
                    account=where.account,
                    request_id=self._new_id(),
                )
            else:
                status, headers, body = await forward()
                if where.service in ("iam", "sts"):
                    self._learn(body)  # keys it has made sign requests later
        except AwsFault as fault:
            return Response(fault.status, _plain_fault(fault), [("Content-Type", "application/json")])
        return Response(status, body, headers)

    async def _arrive(self, request: Request, where: Destination | None) -> None:
        if self._before is not None:
            await self._before(request, where)

    def _refusal(self, request: Request, where: Destination, fault: AwsFault) -> Response:
        """A fault as the clients of any service read it, also of one that is not ours."""
        if where.service == "s3":
            body = f"<Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>"
            return Response(fault.status, body.encode(), [("Content-Type", "application/xml")])
        model = models.model(where.service)
        return protocol.refuse(model, protocol.style_of(model, request), fault, self._new_id())

    def _endpoint(self, request: Request) -> str:
        host = request.headers.get("host", "")
        if not host or host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
            return self._address()
        return f"http://{host}"


def _plain_fault(fault: AwsFault) -> bytes:
    """A fault of the services behind ours, in JSON whichever service it was: the process was not there to ask."""
    text = (fault.message or "").replace("\\", "\\\\").replace('"', '\\"')
    return f'{{"__type": "{fault.code}", "message": "{text}"}}'.encode()
