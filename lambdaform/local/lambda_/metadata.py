"""The metadata endpoint of an execution environment: in which Availability Zone it is.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-metadata-endpoint.html. It is at the address of the Runtime
API, for the runtime and for extensions. Everything here is in the first zone of its Region.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets

from lambdaform.local.http import Connection, Request, Response

PATH = "/2026-01-15/metadata/execution-environment"
_DIRECTION = re.compile("north|south|east|west|central")
_KEPT = "private, max-age=43200, immutable"


class Metadata:
    """What one environment may ask for with its token."""

    def __init__(self, region: str) -> None:
        self.token = secrets.token_hex(32)
        """The value of AWS_LAMBDA_METADATA_TOKEN."""
        self._region = region

    def take(self, connection: Connection, request: Request) -> bool:
        """Answer a request for metadata; False, and nothing done, for any other."""
        if request.path != PATH:
            return False
        given = request.headers.get("authorization", "")
        if request.method != "GET":
            connection.answer(Response(405, b"", [("Allow", "GET")]))
        elif not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            connection.answer(Response(401))
        else:
            body = json.dumps({"AvailabilityZoneID": zone_of(self._region)}).encode()
            connection.answer(Response(200, body, [("Content-Type", "application/json"), ("Cache-Control", _KEPT)]))
        return True


def zone_of(region: str) -> str:
    """The id of a Region's first zone: `use1-az1` in us-east-1.

    https://docs.aws.amazon.com/ram/latest/userguide/working-with-az-ids.html
    """
    first, *rest = region.split("-")
    letters = [*("".join(found[0] for found in _DIRECTION.findall(part)) or part[:1] for part in rest[:-1])]
    return f"{first}{''.join(letters)}{rest[-1] if rest else ''}-az1"
