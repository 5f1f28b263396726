"""Signatures of requests, verified as AWS does: Signature Version 4, in headers or in the query.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. Pure functions, and the
keys this local AWS has made.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import cast
from urllib.parse import parse_qsl, quote, unquote

import attrs

from lambdaform.local.http import Request
from lambdaform.local.ports import ACCOUNT

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW = 300.0
"""Seconds a signature's date may differ from the time."""
KNOWN_SECRETS = ("test", "local")
"""The secret of a key that was made elsewhere, for want of a place to look it up."""
_MADE = re.compile(rb"<AccessKeyId>([^<]+)</AccessKeyId>.*?<SecretAccessKey>([^<]+)</SecretAccessKey>", re.DOTALL)
_MADE_REVERSED = re.compile(
    rb"<SecretAccessKey>([^<]+)</SecretAccessKey>.*?<AccessKeyId>([^<]+)</AccessKeyId>", re.DOTALL
)


class Keys:
    """The access keys this local AWS has handed out, with their secrets."""

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}

    def learn(self, answer: bytes) -> None:
        """Take the key pair out of an answer of IAM or STS that holds one."""
        for pattern, is_reversed in ((_MADE, False), (_MADE_REVERSED, True)):
            for first, second in pattern.findall(answer):
                key, secret = (second, first) if is_reversed else (first, second)
                self._secrets[key.decode()] = secret.decode()
                return

    def checkpoint(self) -> object:
        """All keys, for `restore`."""
        return dict(self._secrets)

    def restore(self, state: object) -> None:
        """Know the keys of a checkpoint."""
        self._secrets = dict(cast("dict[str, str]", state))

    def secrets_of(self, key: str) -> Iterable[str]:
        """What may be the secret of a key."""
        made = self._secrets.get(key)
        return KNOWN_SECRETS if made is None else (made,)


@attrs.frozen
class Signed:
    """Who has signed a request."""

    access_key: str
    account: str


@attrs.frozen
class Refusal:
    """Why a signature is not taken, in AWS's words."""

    message: str


@attrs.frozen
class _Claim:
    """What a request says of its signature."""

    key: str
    day: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str
    moment: str
    lasts: float
    is_in_query: bool

    @property
    def scope(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


def verify(request: Request, keys: Keys, *, service: str, region: str, now: float) -> Signed | Refusal | None:
    """Who signed a request; why that is not believed; or None for a request without a signature."""
    claim = _claim(request)
    if claim is None or isinstance(claim, Refusal):
        return claim
    if claim.service != service:
        return Refusal(f"Credential should be scoped to correct service: '{service}'. ")
    if claim.region != region:
        return Refusal("Credential should be scoped to a valid region. ")
    late = _late(claim, now)
    if late is not None:
        return late
    for secret in keys.secrets_of(claim.key):
        if any(hmac.compare_digest(made, claim.signature) for made in _signatures(request, claim, secret)):
            is_account = len(claim.key) == 12 and claim.key.isdigit()
            return Signed(claim.key, claim.key if is_account else ACCOUNT)
    return Refusal(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details."
    )


def _claim(request: Request) -> _Claim | Refusal | None:
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    header = request.headers.get("authorization", "")
    if header.startswith(ALGORITHM):
        parts: dict[str, str] = {}
        for part in header[len(ALGORITHM) :].split(","):
            name, _, value = part.strip().partition("=")
            parts[name] = value
        given = {name: parts.get(name, "") for name in ("Credential", "SignedHeaders", "Signature")}
        moment, lasts = request.headers.get("x-amz-date", ""), SKEW
    elif "X-Amz-Signature" in query:
        given = {name: query.get(f"X-Amz-{name}", "") for name in ("Credential", "SignedHeaders", "Signature")}
        moment = query.get("X-Amz-Date", "")
        lasts = float(query.get("X-Amz-Expires", "0")) if query.get("X-Amz-Expires", "0").isdigit() else 0.0
    else:
        return None
    missing = [name for name, value in given.items() if not value]
    if missing:
        told = " ".join(f"Authorization header requires '{name}' parameter." for name in missing)
        return Refusal(f"{told} Authorization={header.partition(' ')[0]}")
    if not moment:
        return Refusal("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    key, *scope = given["Credential"].split("/")
    if len(scope) != 4 or scope[3] != "aws4_request":
        return Refusal("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term")
    signed = tuple(given["SignedHeaders"].split(";"))
    if "host" not in signed:
        return Refusal("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    return _Claim(key, scope[0], scope[1], scope[2], signed, given["Signature"], moment, lasts, not header)


def _late(claim: _Claim, now: float) -> Refusal | None:
    try:
        signed_at = datetime.strptime(claim.moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return Refusal(f"Date must be in ISO-8601 'basic format'. Got '{claim.moment}'.")
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    if signed_at - now > SKEW:
        return Refusal(f"Signature not yet current: {claim.moment} is still later than {shown}")
    if now - signed_at > claim.lasts:
        return Refusal(f"Signature expired: {claim.moment} is now earlier than {shown}")
    return None


def _signatures(request: Request, claim: _Claim, secret: str) -> Iterable[str]:
    key = f"AWS4{secret}".encode()
    for part in (claim.day, claim.region, claim.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    for payload in _payloads(request, claim):
        canonical = hashlib.sha256(_canonical(request, claim, payload).encode()).hexdigest()
        text = f"{ALGORITHM}\n{claim.moment}\n{claim.scope}\n{canonical}"
        yield hmac.new(key, text.encode(), "sha256").hexdigest()


def _payloads(request: Request, claim: _Claim) -> Iterable[str]:
    """What may stand for the body: the header counts only where it tells the truth."""
    body = hashlib.sha256(request.body).hexdigest()
    told = request.headers.get("x-amz-content-sha256")
    if told in (None, body):
        yield body
    if told == "UNSIGNED-PAYLOAD" or claim.is_in_query:
        yield "UNSIGNED-PAYLOAD"


def _canonical(request: Request, claim: _Claim, payload: str) -> str:
    headers = "".join(f"{name}:{_plain(request.headers, name)}\n" for name in claim.signed)
    pairs: list[tuple[str, str]] = []
    for pair in request.query.split("&"):
        name, _, value = pair.partition("=")
        if name and name != "X-Amz-Signature":
            pairs.append((_encoded(name), _encoded(value)))
    query = "&".join(f"{name}={value}" for name, value in sorted(pairs))
    # As for every service but S3, the path is encoded once more.
    path = quote(request.path or "/", safe="/~")
    return "\n".join([request.method, path, query, headers, ";".join(claim.signed), payload])


def _plain(headers: Mapping[str, str], name: str) -> str:
    return " ".join(headers.get(name, "").split())


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="~")
