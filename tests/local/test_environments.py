"""The rules around environments as pure functions, and the code they run on disk."""

from __future__ import annotations

import asyncio
import io
import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lambdaform.local.lambda_ import platform_log
from lambdaform.local.lambda_.code import CodeStore
from lambdaform.local.lambda_.endings import exit_reason
from lambdaform.local.lambda_.permissions import decide_permitted, make_statement
from lambdaform.local.lambda_.records import MOST_RECORDS, Record, Records
from lambdaform.local.lambda_.running import stream_name
from lambdaform.local.lambda_.targets import decide_version
from lambdaform.local.lambda_.values import Alias, Policy
from lambdaform.local.ports import AwsFault
from tests.local.conftest import zipped


@pytest.mark.parametrize(("draw", "version"), [(0, "2"), (249_999, "2"), (250_000, "1"), (999_999, "1")])
def test_an_alias_divides_traffic_by_weight(draw: int, version: str) -> None:
    alias = Alias("live", "1", "", {"2": 0.25}, "revision")

    assert decide_version(alias, lambda limit: draw) == version


@pytest.mark.parametrize(
    ("source", "statement", "lets_in"),
    [
        ("arn:aws:sns:us-east-1:1:t", {"Principal": "sns.amazonaws.com"}, True),
        ("arn:aws:sns:us-east-1:1:t", {"Principal": "s3.amazonaws.com"}, False),
        ("arn:aws:sns:us-east-1:1:t", {"Principal": "*"}, True),
        ("arn:aws:sns:us-east-1:1:t", {"Principal": "sns.amazonaws.com", "SourceArn": "arn:aws:sns:*:1:t"}, True),
        ("arn:aws:sns:us-east-1:1:t", {"Principal": "sns.amazonaws.com", "SourceArn": "arn:aws:sns:*:1:u"}, False),
        ("arn:aws:sns:us-east-1:1:t", {"Principal": "sns.amazonaws.com", "Action": "lambda:GetFunction"}, False),
        ("arn:aws:s3:::b", {"Principal": "s3.amazonaws.com", "SourceAccount": "123456789012"}, True),
        ("arn:aws:s3:::b", {"Principal": "s3.amazonaws.com", "SourceAccount": "210987654321"}, False),
    ],
)
def test_a_policy_lets_in_whom_it_names(source: str, statement: dict[str, Any], lets_in: bool) -> None:
    made = make_statement({"StatementId": "s", "Action": "lambda:InvokeFunction", **statement}, "arn")

    assert decide_permitted(Policy({"s": made}, "r"), source, "123456789012") is lets_in


def test_sources_that_take_a_role_need_no_statement() -> None:
    assert decide_permitted(None, "arn:aws:sqs:us-east-1:1:q", "1")
    assert decide_permitted(None, "lambda", "1")
    assert not decide_permitted(None, "arn:aws:events:us-east-1:1:rule/r", "1")


def test_a_shared_log_group_has_the_functions_name_in_its_streams() -> None:
    own = stream_name(0, name="f", version="$LATEST", is_shared_group=False, unique="ab")
    shared = stream_name(0, name="f", version="3", is_shared_group=True, unique="ab")

    assert (own, shared) == ("1970/01/01/[$LATEST]ab", "1970/01/01/f[3]ab")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (0, "Runtime exited without providing a reason"),
        (2 << 8, "Runtime exited with error: exit status 2"),
        (9, "Runtime exited with error: signal: killed"),
        (11 | 0x80, "Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_a_wait_status_is_worded_as_lambda_does(status: int, reason: str) -> None:
    assert exit_reason(status) == reason


def test_the_report_line_bills_the_initialisation() -> None:
    report = platform_log.Report("id", 1233.96, 128, 36, init_duration=463.512)

    end, line = platform_log.end(platform_log.Style(), 0.0, report)

    assert end == "END RequestId: id\n"
    assert line == (
        "REPORT RequestId: id\tDuration: 1233.96 ms\tBilled Duration: 1698 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 36 MB\tInit Duration: 463.51 ms\t\n"
    )


@pytest.mark.parametrize(
    ("level", "status", "types"),
    [
        ("DEBUG", "success", ["platform.report"]),
        ("INFO", "success", ["platform.report"]),
        ("WARN", "success", []),
        ("WARN", "error", ["platform.report"]),
    ],
)
def test_the_system_level_decides_which_platform_events_are_shown(level: Any, status: Any, types: list[str]) -> None:
    report = platform_log.Report("id", 1.0, 128, 36, status=status, error_type="Runtime.ExitError")

    lines = platform_log.end(platform_log.Style("JSON", level), 0.0, report)

    assert [json.loads(line)["type"] for line in lines] == types


def test_records_forget_the_oldest_and_count_attempts() -> None:
    records = Records()
    for number in range(MOST_RECORDS + 1):
        name = f"arn:f{number}"
        records.add(Record(name, "1", "same", b"", b"", None, records.attempts("same") + 1, False, "", 0.0, 0.0))

    assert len(records.of(None)) == MOST_RECORDS
    assert records.of("f0") == ()
    assert records.of("f1")[0].attempt == 2
    assert records.attempts("same") == MOST_RECORDS


def test_code_is_unpacked_read_only_and_cannot_leave_its_folder(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("app.py", "x = 1")
        archive.writestr("../outside.py", "x = 2")
        archive.writestr("/etc/absolute.py", "x = 3")
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, str(tmp_path))
        archive.writestr("link/through.py", "x = 4")
        tool = zipfile.ZipInfo("tool")
        tool.external_attr = 0o755 << 16
        archive.writestr(tool, "#!/bin/sh")
    store = CodeStore(tmp_path / "store")
    code = store.keep(data.getvalue())
    assert code.key is not None

    folder = asyncio.run(store.unpacked(code.key))

    assert (folder / "app.py").read_text() == "x = 1"
    assert stat.S_IMODE((folder / "app.py").stat().st_mode) == 0o444
    assert stat.S_IMODE((folder / "tool").stat().st_mode) == 0o555
    assert (folder / "outside.py").exists()
    assert (folder / "etc" / "absolute.py").exists()
    assert not (tmp_path / "outside.py").exists()
    assert not (tmp_path / "through.py").exists()


def test_later_layers_lie_over_earlier_ones(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    first = store.keep(zipped({"a": "1", "both": "1"}))
    second = store.keep(zipped({"b": "2", "both": "2"}))
    assert first.key is not None
    assert second.key is not None

    folder = asyncio.run(store.layered([first.key, second.key]))

    assert folder is not None
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "1", "b": "2", "both": "2"}


def test_an_archive_that_unzips_to_too_much_is_refused(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"f{number}", b"\0" * 90_000_000)

    with pytest.raises(AwsFault, match="Unzipped size must be smaller than 262144000 bytes"):
        CodeStore(tmp_path).keep(data.getvalue())
