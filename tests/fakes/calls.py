"""Calls to a service of the local AWS without the wire."""

from __future__ import annotations

from typing import Any

import attrs

from lambdaform.local.ports import ACCOUNT, AwsFault, Call, Service

REGION = "eu-central-1"
ENDPOINT = "http://127.0.0.1:4566"


@attrs.frozen
class Caller:
    """Someone who calls one service: `await caller("CreateQueue", QueueName="jobs")`."""

    service: Service
    account: str = ACCOUNT
    region: str = REGION

    async def __call__(self, operation: str, **params: Any) -> dict[str, Any]:
        """The answer; raises `AwsFault`."""
        call = Call(
            service=self.service.name,
            operation=operation,
            params=params,
            region=self.region,
            account=self.account,
            request_id="00000000-0000-4000-8000-000000000000",
            endpoint=ENDPOINT,
            headers={},
        )
        return dict(await self.service.handle(call))

    async def fault(self, operation: str, **params: Any) -> AwsFault:
        """The refusal of a call; fails when there is none."""
        try:
            answer = await self(operation, **params)
        except AwsFault as error:
            return error
        raise AssertionError(f"{operation} was not refused but answered {answer}")
