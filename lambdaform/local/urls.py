"""Function URLs over HTTP: requests into payload 2.0 events, results into answers, CORS, and who may call.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html. The mappings are pure functions; `Urls` finds the
function and runs it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast
from urllib.parse import parse_qsl, unquote

import attrs

from lambdaform.local.http import Request, Response
from lambdaform.local.lambda_.invoking import LARGEST_REQUEST, Invoking, Ran
from lambdaform.local.lambda_.naming import Reference
from lambdaform.local.lambda_.permissions import allows_action
from lambdaform.local.lambda_.plane import Plane
from lambdaform.local.lambda_.streaming import Sink, Streamed, split_prelude
from lambdaform.local.lambda_.targets import find_target
from lambdaform.local.lambda_.values import Function, Policy, UrlConfig
from lambdaform.local.ports import AwsFault, Json
from lambdaform.local.signatures import Keys, Refusal, Signed, verify

_TROUBLE = "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
_TEXT_TYPES = frozenset({"application/json", "application/xml", "application/javascript"})
PRELUDE = "application/vnd.awslambda.http-integration-response"
"""The content type of a streamed answer that begins with its status and headers."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SHOWN_STATE = "$default"


@attrs.frozen(eq=False)
class Found:
    """A function URL and what it belongs to."""

    function: Function
    qualifier: str
    config: UrlConfig


class Urls:
    """Answers requests to function URLs."""

    def __init__(self, plane: Plane, invoking: Invoking, keys: Keys) -> None:
        self._plane = plane
        self._invoking = invoking
        self._keys = keys

    async def by_host(self, request: Request) -> Response:
        """A request to `<id>.lambda-url.<region>.localhost`."""
        url_id = request.headers.get("host", "").partition(".")[0]
        return await self._answer(url_id, request, request.target or "/")

    async def by_path(self, request: Request, tail: str) -> Response:
        """A request to `/_lambdaform/url/<id>/...`; `tail` is what follows `url/` in the path."""
        url_id, _, rest = tail.partition("/")
        query = f"?{request.query}" if request.query else ""
        return await self._answer(url_id, request, f"/{rest}{query}")

    async def _answer(self, url_id: str, request: Request, target: str) -> Response:
        found = self._find(url_id)
        if found is None:
            return _json(403, {"Message": None}, [("x-amzn-ErrorType", "AccessDeniedException")])
        cors = found.config.cors
        origin = request.headers.get("origin")
        if (
            cors is not None
            and request.method == "OPTIONS"
            and origin
            and "access-control-request-method" in request.headers
        ):
            return Response(200, b"", preflight_headers(cors, origin))
        caller: Signed | None = None
        if found.config.auth_type == "AWS_IAM":
            # Signatures carry the real time, also where the local AWS keeps another one.
            signed = verify(request, self._keys, service="lambda", region=found.function.region, now=time.time())
            if isinstance(signed, Refusal):
                return _json(403, {"message": signed.message}, [("x-amzn-ErrorType", "InvalidSignatureException")])
            caller = signed
        if not is_let_in(found, caller):
            text = f"Forbidden. For troubleshooting Function URL authorization issues, see: {_TROUBLE}"
            return _json(403, {"Message": text}, [("x-amzn-ErrorType", "AccessDeniedException")])
        response = await self._run(found, request, target, caller)
        if cors is None or not origin:
            return response
        kept = [(name, value) for name, value in response.headers if not name.lower().startswith("access-control-")]
        return attrs.evolve(response, headers=[*kept, *answer_headers(cors, origin)])

    async def _run(self, found: Found, request: Request, target: str, caller: Signed | None) -> Response:
        plane = self._plane
        request_id, now = plane.ids.uuid(), plane.clock.now()
        trace = request.headers.get("x-amzn-trace-id")
        root = trace or f"Root=1-{int(now):08x}-{plane.ids.hex(24)}"
        event = make_event(found, request, target, now=now, request_id=request_id, root=root, caller=caller)
        payload = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
        if len(payload) > LARGEST_REQUEST:
            return _json(413, {"Message": "Request payload exceeded the limit"})
        reference = Reference(
            found.function.account, found.function.region, found.function.name, found.qualifier or None
        )
        self._invoking.asked(f"{request.method} {event['rawPath']}", function=found.function.arn)

        async def run(sink: Sink | None) -> Ran:
            target = find_target(self._plane, reference)
            header = trace or f"{root};Sampled=0"
            return await self._invoking.run(
                target, payload, request_id=request_id, trace=header, sink=sink, is_rated=True
            )

        try:
            if found.config.invoke_mode == "RESPONSE_STREAM":
                answer = await streamed_response(Streamed(run))
            else:
                answer = response_of(await run(None))
        except AwsFault as fault:
            status = 429 if fault.status == 429 else 501 if fault.status == 501 else 502
            return _json(status, {"Message": fault.message})
        if answer.status == 502:
            return answer
        return attrs.evolve(answer, headers=[*answer.headers, ("x-amzn-RequestId", request_id)])

    def _find(self, url_id: str) -> Found | None:
        for function in self._plane.store.functions.values():
            for qualifier, config in function.urls.items():
                if config.id == url_id:
                    return Found(function, qualifier, config)
        return None


def is_let_in(found: Found, caller: Signed | None) -> bool:
    """Whether a caller may use a URL: everybody by the public statements, or, with AWS_IAM, whoever signed.

    Callers of the function's own account need no statement, because what their identity may do is not enforced here;
    other accounts need the function's policy.
    """
    policy = found.function.policies.get(found.qualifier)
    if found.config.auth_type != "AWS_IAM":
        return allows_url(policy, "NONE", None)
    return caller is not None and (
        caller.account == found.function.account or allows_url(policy, "AWS_IAM", caller.account)
    )


def allows_url(policy: Policy | None, auth_type: str, account: str | None) -> bool:
    """Whether a policy has both statements that a URL needs (since October 2025), for an account or for everybody."""
    if policy is None:
        return False
    by_url = by_function = False
    for statement in policy.statements.values():
        if not _is_about(statement["Principal"], account):
            continue
        condition: Mapping[str, Mapping[str, str]] = statement.get("Condition", {})
        auth = condition.get("StringEquals", {}).get("lambda:FunctionUrlAuthType")
        via = condition.get("Bool", {}).get("lambda:InvokedViaFunctionUrl")
        by_url = by_url or (allows_action(statement, "lambda:InvokeFunctionUrl") and auth in (None, auth_type))
        by_function = by_function or (allows_action(statement, "lambda:InvokeFunction") and via in (None, "true"))
    return by_url and by_function


def _is_about(principal: Json, account: str | None) -> bool:
    """Whether a statement's principal is everybody, or the account or one of its identities."""
    if principal == "*":
        return True
    named = cast("Mapping[str, Json]", principal).get("AWS") if isinstance(principal, dict) else None
    return account is not None and isinstance(named, str) and (named == account or f"::{account}:" in named)


def make_event(
    found: Found, request: Request, target: str, *, now: float, request_id: str, root: str, caller: Signed | None = None
) -> dict[str, Json]:
    """The payload 2.0 event of a request. `root` is what its trace header is where it has none."""
    path, _, query = target.partition("?")
    config = found.config
    headers = {name: value for name, value in request.headers.items() if name != "cookie"}
    headers.setdefault("x-forwarded-for", request.peer)
    headers.setdefault("x-forwarded-proto", "http")
    headers.setdefault("x-amzn-trace-id", root)
    headers.setdefault("x-forwarded-port", request.headers.get("host", "").partition(":")[2] or "80")
    domain = f"{config.id}.lambda-url.{found.function.region}.on.aws"
    moment = datetime.fromtimestamp(now, UTC)
    event: dict[str, Json] = {
        "version": "2.0",
        "routeKey": _SHOWN_STATE,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous" if config.auth_type == "NONE" else found.function.account,
            "apiId": config.id,
            "domainName": domain,
            "domainPrefix": config.id,
            "http": {
                "method": request.method,
                "path": unquote(path),
                "protocol": "HTTP/1.1",
                "sourceIp": request.peer,
                "userAgent": request.headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": _SHOWN_STATE,
            "stage": _SHOWN_STATE,
            "time": moment.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if caller is not None:
        event["requestContext"]["authorizer"] = {
            "iam": {
                "accessKey": caller.access_key,
                "accountId": caller.account,
                "callerId": caller.access_key,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": f"arn:aws:iam::{caller.account}:root",
                "userId": caller.account,
            }
        }
    cookies = request.headers.get("cookie")
    if cookies:
        event["cookies"] = [cookie.strip() for cookie in cookies.split(";") if cookie.strip()]
    if query:
        joined: dict[str, str] = {}
        for key, value in parse_qsl(query, keep_blank_values=True):
            joined[key] = f"{joined[key]},{value}" if key in joined else value
        event["queryStringParameters"] = joined
    if request.body:
        event["body"], event["isBase64Encoded"] = _body_in(request)
    return event


def _body_in(request: Request) -> tuple[str, bool]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_text = kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml"))
    if is_text:
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), True


def response_of(ran: Ran) -> Response:
    """The HTTP answer of an invocation that is over."""
    return _failed() if ran.outcome.function_error is not None else make_response(ran.outcome.payload)


async def streamed_response(streamed: Streamed) -> Response:
    """The HTTP answer of an invocation that may stream: its head comes first, the rest as it is written.

    Raises the `AwsFault` the invocation was refused with.
    """
    ran = await streamed.begun()
    if ran is not None:
        return response_of(ran)
    pieces = streamed.pieces()
    if streamed.content_type != PRELUDE:
        return Response(200, pieces, [("Content-Type", streamed.content_type)])
    head, first = await split_prelude(pieces)
    answer = make_response(head)

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return attrs.evolve(answer, body=rest()) if answer.status != 502 else answer


def make_response(payload: bytes) -> Response:
    """The HTTP answer of a function's result; 502 for a result that is none."""
    try:
        result: Json = json.loads(payload)
    except (ValueError, RecursionError):
        return _failed()
    if not isinstance(result, dict) or "statusCode" not in result:
        body = result.encode() if isinstance(result, str) else payload
        return Response(200, body, [("Content-Type", "application/json")])
    answer = cast("Mapping[str, Json]", result)
    try:
        status = int(answer["statusCode"])
        given = cast("Mapping[str, Json]", answer.get("headers") or {})
        headers = [(name, _header_text(value)) for name, value in given.items()]
        headers += [("Set-Cookie", cookie) for cookie in _cookies(answer.get("cookies"))]
        body = _body_out(answer)
    except (TypeError, ValueError, OverflowError, AttributeError, binascii.Error):
        return _failed()
    # An interim status is no answer, and a name that is no token would end its line where it likes.
    if not 200 <= status <= 599 or not all(_TOKEN.fullmatch(name) for name, _ in headers):
        return _failed()
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    return Response(status, body, headers)


def _cookies(given: object) -> Sequence[str]:
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(each, str) for each in cast("list[object]", given)):
        raise TypeError("cookies are a list of texts")
    return cast("list[str]", given)


def _header_text(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise TypeError("a header is text")


def _body_out(answer: Mapping[str, Json]) -> bytes:
    body = answer.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        return json.dumps(body, separators=(",", ":")).encode()
    return base64.b64decode(body, validate=True) if answer.get("isBase64Encoded") else body.encode()


def preflight_headers(cors: Mapping[str, Json], origin: str) -> list[tuple[str, str]]:
    """What a preflight request is told, by the service itself."""
    headers = answer_headers(cors, origin)
    if headers:
        headers.append(("Access-Control-Allow-Methods", ",".join(cors.get("AllowMethods", ()))))
        headers.append(("Access-Control-Allow-Headers", ",".join(cors.get("AllowHeaders", ()))))
        if cors.get("MaxAge"):
            headers.append(("Access-Control-Max-Age", str(cors["MaxAge"])))
    return headers


def answer_headers(cors: Mapping[str, Json], origin: str) -> list[tuple[str, str]]:
    """The CORS headers of an answer; none for an origin that is not allowed."""
    allowed: Sequence[str] = cors.get("AllowOrigins", ())
    if "*" not in allowed and origin not in allowed:
        return []
    credentials = cors.get("AllowCredentials", False)
    headers = [
        ("Access-Control-Allow-Origin", origin if credentials or "*" not in allowed else "*"),
        ("Vary", "Origin"),
    ]
    if credentials:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    if cors.get("ExposeHeaders"):
        headers.append(("Access-Control-Expose-Headers", ",".join(cors["ExposeHeaders"])))
    return headers


def _failed() -> Response:
    return Response(502, b"Internal Server Error", [("Content-Type", "text/plain")])


def _json(status: int, document: Json, headers: Sequence[tuple[str, str]] = ()) -> Response:
    return Response(status, json.dumps(document).encode(), [("Content-Type", "application/json"), *headers])
