# boto3 and botocore come without types; what they answer is narrowed here, at the edge.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""AWS through boto3: one `AwsSession` per account, region and endpoint, shared by all threads of a deploy."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import attrs

from lambdaform.aws.endpoint import LOCAL_REGION, is_loopback
from lambdaform.aws.patience import patience_for
from lambdaform.model.driver import AwsError
from lambdaform.model.problem import Interrupted, LambdaformError

T = TypeVar("T")


class Pauses(Protocol):
    """How waiting passes; real time for users, a counter in tests."""

    def now(self) -> float: ...

    def pause(self, seconds: float) -> None:
        """Wait; raises `Interrupted` when the user has asked to stop."""
        ...


class RealPauses:
    """Waits in real time, and stops waiting when `stop` is set."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self.stop = stop or threading.Event()

    def now(self) -> float:
        """Seconds that only go forward."""
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Wait so long, or until the user stops the run."""
        if self.stop.wait(seconds):
            raise Interrupted("stopped while waiting for AWS")


@attrs.frozen
class Identity:
    """Who a session is."""

    account: str
    arn: str


class AwsSession:
    """`model.driver.Aws` over boto3."""

    def __init__(self, boto: Any, region: str, endpoint: str | None, pauses: Pauses, *, pool: int = 16) -> None:
        self._boto = boto
        self._region = region
        self._endpoint = endpoint
        self._pauses = pauses
        self._pool = pool
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._identity: Identity | None = None

    @property
    def region(self) -> str:
        """The region called."""
        return self._region

    @property
    def partition(self) -> str:
        """`aws`, or another one for China and GovCloud."""
        return self._boto.get_partition_for_region(self._region)

    @property
    def endpoint(self) -> str | None:
        """What stands in for AWS; None for AWS."""
        return self._endpoint

    @property
    def account(self) -> str:
        """The account called, asked of STS once."""
        return self.identity().account

    def identity(self) -> Identity:
        """Account and ARN of the caller. Raises `LambdaformError` when credentials are absent or refused."""
        if self._identity is None:
            try:
                answer = self.call("sts", "GetCallerIdentity")
            except AwsError as error:
                raise LambdaformError(
                    f"AWS refused the credentials: {error.message or error.code}",
                    hint="renew them (aws sso login, or your tool for it), or name another --profile",
                ) from error
            self._identity = Identity(answer["Account"], answer["Arn"])
        return self._identity

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """One call, asked again while AWS says "not visible yet". Raises `AwsError`."""
        deadline: float | None = None
        delay = 0.1 if self._endpoint else 0.5
        while True:
            try:
                return self._once(service, operation, params)
            except AwsError as error:
                patience = patience_for(error)
                now = self._pauses.now()
                if patience is None:
                    raise
                deadline = now + patience.seconds if deadline is None else deadline
                if now + delay > deadline:
                    raise
                self._pauses.pause(delay)
                delay = min(delay * 1.7, 5.0)

    def wait_for(self, what: str, look: Callable[[], T | None], *, seconds: float = 300) -> T:
        """Look with growing pauses until there is something to see. Raises `LambdaformError` naming `what`."""
        deadline = self._pauses.now() + seconds
        delay = 0.02 if self._endpoint else 0.3
        while True:
            found = look()
            if found is not None:
                return found
            if self._pauses.now() + delay > deadline:
                raise LambdaformError(
                    f"waited {seconds:.0f} s for {what}, and it did not happen",
                    hint="look at it in AWS; running the same command again goes on from here",
                )
            self._pauses.pause(delay)
            delay = min(delay * 1.6, 5.0)

    def _once(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        from botocore import exceptions, xform_name
        from botocore.parsers import ResponseParserError

        try:
            answer: dict[str, Any] = getattr(self._client(service), xform_name(operation))(**params)
        except exceptions.ClientError as error:
            detail: Any = error.response.get("Error", {})
            status: Any = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
            raise AwsError(
                service, operation, str(detail.get("Code", "")), str(detail.get("Message") or ""), int(status)
            ) from error
        except exceptions.NoCredentialsError as error:
            raise LambdaformError(
                "there are no AWS credentials",
                hint="set AWS_PROFILE or name --profile, run aws sso login, "
                "or deploy to the local AWS with --local, which needs none",
            ) from error
        except (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError) as error:
            where = self._endpoint or f"AWS ({service} in {self._region})"
            raise LambdaformError(
                f"nothing answers at {where}",
                hint="start it, or check the address" if self._endpoint else "check the network and the region's name",
            ) from error
        except exceptions.ParamValidationError as error:
            raise AwsError(service, operation, "ValidationException", str(error).replace("\n", " "), 400) from error
        except exceptions.BotoCoreError as error:
            raise LambdaformError(f"calling {service}:{operation} failed: {error}") from error
        except ResponseParserError as error:
            where = self._endpoint or f"AWS ({service} in {self._region})"
            raise LambdaformError(
                f"what answers {service}:{operation} at {where} does not speak as AWS does",
                hint="check the address",
            ) from error
        answer.pop("ResponseMetadata", None)
        return answer

    def _client(self, service: str) -> Any:
        client = self._clients.get(service)
        if client is None:
            with self._lock:  # boto3 sessions are not thread-safe while they make clients; clients are
                client = self._clients.get(service)
                if client is None:
                    from botocore.config import Config

                    own = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}")
                    config = Config(
                        max_pool_connections=self._pool,
                        retries={"mode": "standard", "max_attempts": 2 if self._endpoint else 8},
                        s3={"addressing_style": "path"} if self._endpoint else {},
                        connect_timeout=5 if self._endpoint else 20,
                    )
                    client = self._boto.client(
                        service, region_name=self._region, endpoint_url=self._endpoint or own, config=config
                    )
                    self._clients[service] = client
        return client


def connect(
    *,
    region: str | None,
    profile: str | None = None,
    endpoint: str | None = None,
    local: bool = False,
    pauses: Pauses | None = None,
    pool: int = 16,
) -> AwsSession:
    """A session, from flags before environment before configuration files.

    With `local` the session carries made-up credentials and reads none, so that the local AWS never sees real ones;
    so does any endpoint on this machine when there are no credentials at all.
    Raises `LambdaformError` for an unknown profile or when no region is named anywhere.
    """
    import boto3
    from botocore import exceptions

    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL") or None
    try:
        if local:
            boto: Any = boto3.Session("local", "local", region_name=region or LOCAL_REGION)
        else:
            boto = boto3.Session(profile_name=profile, region_name=region)
            if is_loopback(endpoint) and boto.get_credentials() is None:
                boto = boto3.Session("local", "local", region_name=region or boto.region_name or LOCAL_REGION)
    except exceptions.ProfileNotFound as error:
        raise LambdaformError(
            f"there is no AWS profile called {profile or os.environ.get('AWS_PROFILE')!r}",
            hint=f"choose one of: {', '.join(_profiles()) or 'none is configured'}",
        ) from error
    except exceptions.BotoCoreError as error:
        raise LambdaformError(f"AWS's configuration files cannot be read: {error}") from error
    found = boto.region_name
    if not found:
        raise LambdaformError(
            "no region is named anywhere", hint="give --region, set AWS_REGION, or write region = ... in the stack"
        )
    return AwsSession(boto, found, endpoint, pauses or RealPauses(), pool=pool)


def _profiles() -> list[str]:
    import botocore.session

    try:
        return sorted(botocore.session.Session().available_profiles)
    except Exception:  # noqa: BLE001 - only decorates another message
        return []
