# moto and boto3 come without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
"""A moto server for drivers to talk to: one a session, emptied before each test."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest

from lambdaform.aws.session import AwsSession, connect


@pytest.fixture(scope="session")
def _endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def _session(_endpoint: str) -> AwsSession:
    return connect(region="eu-central-1", endpoint=_endpoint, local=True)


@pytest.fixture
def aws(_session: AwsSession, _endpoint: str) -> AwsSession:
    """AWS as moto plays it, with nothing in it."""
    with urllib.request.urlopen(urllib.request.Request(f"{_endpoint}/moto-api/reset", method="POST")) as answer:
        assert answer.status == 200
    return _session
