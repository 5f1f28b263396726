"""The pytest plugin: the way of all events in the report of a test that failed.

pytest finds it by its entry point. Nothing heavy is loaded before a test opens a local AWS.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lambdaform.testing.session import LocalAws


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """A test's report shows what that test opened."""
    opened = _opened()
    if opened is not None:
        opened.clear()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Add the way of the events to the report of a failure."""
    report: pytest.TestReport = yield
    opened = _opened()
    if report.when == "call" and report.failed and opened:
        report.sections.append(("way of the events", _told(opened[-1])))
    return report


def _opened() -> list[LocalAws] | None:
    session = sys.modules.get("lambdaform.testing.session")
    return None if session is None else session.OPENED


def _told(aws: LocalAws) -> str:
    try:
        return aws.trace() or "nothing happened"
    except Exception as error:  # noqa: BLE001 - a report must not fail because the local AWS is gone
        return f"the local AWS does not tell: {error}"
