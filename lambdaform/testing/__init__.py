"""The stack on a local AWS as a test fixture: sessions, sample events, and the pytest plugin."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from lambdaform.testing.session import LocalAws


class StackClass(Protocol):
    """A subclass of `Stack`."""

    def local(
        self,
        *,
        clock: Literal["system", "virtual"] = "system",
        stage: str | None = None,
        brokers: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[LocalAws]:
        """The stack on a local AWS."""
        ...


def stack_fixture(
    stack: StackClass,
    *,
    clock: Literal["system", "virtual"] = "virtual",
    stage: str | None = None,
    brokers: Mapping[str, str] | None = None,
) -> Any:
    """A pytest fixture of a stack, freshly deployed to a local AWS for each test; its value is a `LocalAws`.

    In a test module or conftest.py, under the name tests ask for: `aws = stack_fixture(Orders)`.
    `brokers` are addresses of real brokers by source: `{"kafka": "kafka://localhost:9092"}`.
    """
    import pytest

    @pytest.fixture
    def deployed() -> Generator[LocalAws]:
        with stack.local(clock=clock, stage=stage, brokers=brokers) as aws:
            yield aws

    return deployed
