"""What Lambda itself writes into a function's log: START, END, REPORT and their JSON forms.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html. Pure functions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import attrs

from lambdaform.local.ports import Json

Format = Literal["Text", "JSON"]
SystemLevel = Literal["DEBUG", "INFO", "WARN"]


@attrs.frozen
class Style:
    """How a function wants its platform events: the LoggingConfig."""

    format: Format = "Text"
    system_level: SystemLevel = "INFO"


@attrs.frozen
class Report:
    """The figures of one invocation. Durations in milliseconds, memory in MB."""

    request_id: str
    duration: float
    memory_size: int
    max_memory: int
    init_duration: float | None = None
    restore_duration: float | None = None
    billed_restore: int = 0
    status: Literal["success", "error", "timeout"] = "success"
    error_type: str | None = None

    @property
    def billed(self) -> int:
        """Milliseconds billed: duration, init and the billed part of a restore together, rounded up.

        Init is billed since 2025-08-01.
        """
        return max(1, math.ceil(self.duration + (self.init_duration or 0.0) + self.billed_restore))


def init_start(
    style: Style, now: float, *, runtime: str, region: str, name: str, version: str, kind: str = "on-demand"
) -> Iterator[str]:
    """The line an environment begins its log with; `kind` is the type of its initialisation."""
    arn = f"arn:aws:lambda:{region}::runtime:local"
    if style.format == "Text":
        yield f"INIT_START Runtime Version: {runtime}\tRuntime Version ARN: {arn}\n"
    elif style.system_level != "WARN":
        yield _event(
            now,
            "platform.initStart",
            {
                "initializationType": kind,
                "phase": "init",
                "runtimeVersion": runtime,
                "runtimeVersionArn": arn,
                "functionName": name,
                "functionVersion": version,
            },
        )


def init_report(
    style: Style,
    now: float,
    *,
    duration: float,
    phase: str,
    status: str,
    error_type: str | None,
    kind: str = "on-demand",
) -> Iterator[str]:
    """The line after an initialisation that failed, or was for a snapshot."""
    if style.format == "Text":
        failed = f"\tPhase: {phase}\tStatus: {status}" if status != "success" else ""
        cause = f"\tError Type: {error_type}" if error_type else ""
        yield f"INIT_REPORT Init Duration: {duration:.2f} ms{failed}{cause}\n"
    elif style.system_level != "WARN" or status != "success":
        record: dict[str, Json] = {
            "initializationType": kind,
            "phase": phase,
            "status": status,
            "metrics": {"durationMs": round(duration, 3)},
        }
        if error_type:
            record["errorType"] = error_type
        yield _event(now, "platform.initReport", record)


def restore_start(style: Style, now: float, *, runtime: str, region: str, name: str, version: str) -> Iterator[str]:
    """The line before an environment is restored from a snapshot.

    https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html#platform-restoreStart
    """
    arn = f"arn:aws:lambda:{region}::runtime:local"
    if style.format == "Text":
        yield f"RESTORE_START Runtime Version: {runtime}\tRuntime Version ARN: {arn}\n"
    elif style.system_level != "WARN":
        record = {
            "runtimeVersion": runtime,
            "runtimeVersionArn": arn,
            "functionName": name,
            "functionVersion": version,
        }
        yield _event(now, "platform.restoreStart", record)


def restore_report(style: Style, now: float, *, duration: float, status: str, error_type: str | None) -> Iterator[str]:
    """The lines after an environment was restored, or was not."""
    if style.format == "Text":
        failed = f"\tStatus: {status}" if status != "success" else ""
        cause = f"\tError Type: {error_type}" if error_type else ""
        yield f"RESTORE_REPORT Restore Duration: {duration:.2f} ms{failed}{cause}\n"
        return
    record: dict[str, Json] = {"status": status, **({"errorType": error_type} if error_type else {})}
    if style.system_level == "DEBUG" or status != "success":
        yield _event(now, "platform.restoreRuntimeDone", record)
    if style.system_level != "WARN" or status != "success":
        yield _event(now, "platform.restoreReport", {**record, "metrics": {"durationMs": round(duration, 3)}})


def extension(
    style: Style, now: float, *, name: str, state: str, events: Sequence[str], error_type: str | None
) -> Iterator[str]:
    """The line about an extension at the end of INIT."""
    if style.format == "Text":
        kind = f"\tError Type: {error_type}" if error_type else ""
        yield f"EXTENSION\tName: {name}\tState: {state}\tEvents: [{', '.join(events)}]{kind}\n"
    elif style.system_level != "WARN" or error_type:
        record: dict[str, Json] = {"name": name, "state": state, "events": list(events)}
        if error_type:
            record["errorType"] = error_type
        yield _event(now, "platform.extension", record)


def start(style: Style, now: float, *, request_id: str, version: str, function_arn: str) -> Iterator[str]:
    """The line before an invocation's own."""
    if style.format == "Text":
        yield f"START RequestId: {request_id} Version: {version}\n"
    elif style.system_level != "WARN":
        yield _event(now, "platform.start", {"requestId": request_id, "functionArn": function_arn, "version": version})


def end(style: Style, now: float, report: Report) -> Iterator[str]:
    """The lines after an invocation's own."""
    if style.format == "Text":
        yield f"END RequestId: {report.request_id}\n"
        init = f"Init Duration: {report.init_duration:.2f} ms\t" if report.init_duration is not None else ""
        if report.restore_duration is not None:
            init += f"Restore Duration: {report.restore_duration:.2f} ms\t"
            init += f"Billed Restore Duration: {report.billed_restore} ms\t"
        yield (
            f"REPORT RequestId: {report.request_id}\tDuration: {report.duration:.2f} ms\t"
            f"Billed Duration: {report.billed} ms\tMemory Size: {report.memory_size} MB\t"
            f"Max Memory Used: {report.max_memory} MB\t{init}{_status(report)}\n"
        )
        return
    failed = report.status != "success"
    if style.system_level == "DEBUG":
        yield _event(
            now,
            "platform.runtimeDone",
            {
                "requestId": report.request_id,
                "status": report.status,
                "metrics": {"durationMs": round(report.duration, 3), "producedBytes": 0},
                "spans": [],
            },
        )
    if style.system_level != "WARN" or failed:
        metrics: dict[str, Json] = {
            "durationMs": round(report.duration, 3),
            "billedDurationMs": report.billed,
            "memorySizeMB": report.memory_size,
            "maxMemoryUsedMB": report.max_memory,
        }
        if report.init_duration is not None:
            metrics["initDurationMs"] = round(report.init_duration, 3)
        if report.restore_duration is not None:
            metrics["restoreDurationMs"] = round(report.restore_duration, 3)
        record: dict[str, Json] = {"requestId": report.request_id, "metrics": metrics, "status": report.status}
        if report.error_type:
            record["errorType"] = report.error_type
        yield _event(now, "platform.report", record)


def _status(report: Report) -> str:
    match report.status:
        case "success":
            return ""
        case "timeout":
            return "Status: timeout"
        case "error":
            return f"Status: error\tError Type: {report.error_type}"


def _event(now: float, kind: str, record: Mapping[str, Json]) -> str:
    time = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": time, "type": kind, "record": record}, separators=(",", ":")) + "\n"
