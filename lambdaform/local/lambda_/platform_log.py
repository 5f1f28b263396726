"""What Lambda itself writes into a function's log: START, END, REPORT and their JSON forms.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html. Pure functions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import attrs

from lambdaform.local.clock import iso
from lambdaform.local.ports import Json

Format = Literal["Text", "JSON"]
SystemLevel = Literal["DEBUG", "INFO", "WARN"]
InitPhase = Literal["init", "invoke"]
SpanName = Literal["responseLatency", "responseDuration", "runtimeOverhead", "extensionOverhead"]


@attrs.frozen
class Style:
    """How a function wants its platform events: the LoggingConfig."""

    format: Format = "Text"
    system_level: SystemLevel = "INFO"


EVERYTHING = Style("JSON", "DEBUG")
"""How whoever listens to telemetry gets them."""


@attrs.frozen
class Span:
    """A part of an invocation's time."""

    name: SpanName
    start: float
    """Seconds since the epoch."""
    duration: float
    """Milliseconds."""

    def document(self) -> dict[str, Json]:
        """As the platform's events have it."""
        return {"name": self.name, "start": iso(self.start), "durationMs": round(self.duration, 3)}


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
    spans: tuple[Span, ...] = ()
    trace: str | None = None
    """The trace header."""

    @property
    def billed(self) -> int:
        """Milliseconds billed: duration, init and the billed part of a restore together, rounded up.

        Init is billed since 2025-08-01.
        """
        return max(1, math.ceil(self.duration + (self.init_duration or 0.0) + self.billed_restore))


def init_start(
    style: Style,
    now: float,
    *,
    runtime: str,
    region: str,
    name: str,
    version: str,
    kind: str = "on-demand",
    phase: str = "init",
    instance: str = "",
    memory: int = 0,
) -> Iterator[str]:
    """The line an environment begins its log with; `kind` is the type of its initialisation.

    One that is repeated within an invocation is only told as an event.
    """
    arn = f"arn:aws:lambda:{region}::runtime:local"
    if style.format == "Text":
        if phase == "init":
            yield f"INIT_START Runtime Version: {runtime}\tRuntime Version ARN: {arn}\n"
    elif style.system_level != "WARN":
        yield _event(
            now,
            "platform.initStart",
            {
                "initializationType": kind,
                "phase": phase,
                "runtimeVersion": runtime,
                "runtimeVersionArn": arn,
                "functionName": name,
                "functionVersion": version,
                "instanceId": instance,
                "instanceMaxMemory": memory,
            },
        )


def init_runtime_done(
    style: Style, now: float, *, phase: str, status: str, error_type: str | None, kind: str = "on-demand"
) -> Iterator[str]:
    """That the runtime's own part of an initialisation is over; in JSON alone."""
    if style.format == "JSON" and (style.system_level == "DEBUG" or status != "success"):
        record: dict[str, Json] = {"initializationType": kind, "phase": phase, "status": status}
        if error_type:
            record["errorType"] = error_type
        yield _event(now, "platform.initRuntimeDone", record)


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
    """The line after an initialisation that failed, or was not on demand."""
    is_plain = status == "success" and kind == "on-demand"
    if style.format == "Text":
        if is_plain or (status == "success" and phase != "init"):
            return
        failed = f"\tPhase: {phase}\tStatus: {status}" if status != "success" else ""
        cause = f"\tError Type: {error_type}" if error_type else ""
        yield f"INIT_REPORT Init Duration: {duration:.2f} ms{failed}{cause}\n"
    elif style.system_level == "DEBUG" or (not is_plain and (style.system_level != "WARN" or status != "success")):
        record: dict[str, Json] = {
            "initializationType": kind,
            "phase": phase,
            "status": status,
            "metrics": {"durationMs": round(duration, 3)},
        }
        if error_type:
            record["errorType"] = error_type
        yield _event(now, "platform.initReport", record)


def restore_start(
    style: Style, now: float, *, runtime: str, region: str, name: str, version: str, instance: str, memory: int
) -> Iterator[str]:
    """The line before an environment is restored from a snapshot.

    https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html#platform-restoreStart
    """
    arn = f"arn:aws:lambda:{region}::runtime:local"
    if style.format == "Text":
        yield f"RESTORE_START Runtime Version: {runtime}\tRuntime Version ARN: {arn}\n"
    elif style.system_level != "WARN":
        record: dict[str, Json] = {
            "runtimeVersion": runtime,
            "runtimeVersionArn": arn,
            "functionName": name,
            "functionVersion": version,
            "instanceId": instance,
            "instanceMaxMemory": memory,
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


def subscription(style: Style, now: float, *, name: str, api: str, types: Sequence[str]) -> Iterator[str]:
    """The line about an extension that subscribes to telemetry."""
    if style.format == "Text":
        named = ", ".join(each.capitalize() for each in types)
        yield f"{api.upper()}\tName: {name}\tState: Subscribed\tTypes: [{named}]\n"
    elif style.system_level != "WARN":
        record = {"name": name, "state": "Subscribed", "types": list(types)}
        yield _event(now, f"platform.{api}Subscription", record)


def start(
    style: Style, now: float, *, request_id: str, version: str, function_arn: str, trace: str | None = None
) -> Iterator[str]:
    """The line before an invocation's own."""
    if style.format == "Text":
        yield f"START RequestId: {request_id} Version: {version}\n"
    elif style.system_level != "WARN":
        record = {"requestId": request_id, "functionArn": function_arn, "version": version, **_tracing(trace)}
        yield _event(now, "platform.start", record)


def runtime_done(
    style: Style,
    now: float,
    *,
    request_id: str,
    status: str,
    error_type: str | None,
    duration: float,
    produced: int,
    spans: Sequence[Span] = (),
    trace: str | None = None,
) -> Iterator[str]:
    """That the runtime is done with an invocation, in JSON alone. Extensions may go on."""
    if style.format == "JSON" and style.system_level == "DEBUG":
        record: dict[str, Json] = {
            "requestId": request_id,
            "status": status,
            "metrics": {"durationMs": round(duration, 3), "producedBytes": produced},
            "spans": [each.document() for each in spans],
            **_tracing(trace),
        }
        if error_type:
            record["errorType"] = error_type
        yield _event(now, "platform.runtimeDone", record)


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
    if style.system_level != "WARN" or report.status != "success":
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
        if report.spans:
            record["spans"] = [each.document() for each in report.spans]
        yield _event(now, "platform.report", {**record, **_tracing(report.trace)})


def _status(report: Report) -> str:
    match report.status:
        case "success":
            return ""
        case "timeout":
            return "Status: timeout"
        case "error":
            return f"Status: error\tError Type: {report.error_type}"


def _tracing(trace: str | None) -> dict[str, Json]:
    """The trace of an invocation, where it is sampled."""
    if trace is None or "Sampled=1" not in trace:
        return {}
    return {"tracing": {"type": "X-Amzn-Trace-Id", "value": trace}}


def _event(now: float, kind: str, record: Mapping[str, Json]) -> str:
    return json.dumps({"time": iso(now), "type": kind, "record": record}, separators=(",", ":")) + "\n"
