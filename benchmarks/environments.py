"""Execution environments: cold starts, many clients at once, and what an idle one holds."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop
from events import client, figure, function

from lambdaform.local.process import LocalProcess, start

TRIVIAL = "def handler(event, context):\n    return {}\n"
SLEEPS = "import time\ndef handler(event, context):\n    time.sleep(0.1)\n"


def environments() -> None:
    """All of it."""
    print("Environments")
    local = start()
    try:
        cold(local)
        crowds(local)
        idle(local)
    finally:
        local.close()


def cold(local: LocalProcess) -> None:
    """First request to first answer of a trivial handler, 40 ms apart."""
    function(local, "cold", TRIVIAL)
    awslambda = client(local, "lambda")
    times: list[float] = []
    for number in range(40):
        awslambda.update_function_configuration(FunctionName="cold", Description=str(number))
        time.sleep(0.04)
        began = time.perf_counter()
        awslambda.invoke(FunctionName="cold")["Payload"].read()
        times.append((time.perf_counter() - began) * 1000)
    figure("cold start of a trivial handler through boto3, p50", statistics.median(times), "ms", "wanted: 20")


def crowds(local: LocalProcess) -> None:
    """Many raw clients at once."""
    function(local, "trivial", TRIVIAL)
    function(local, "sleeps", SLEEPS)
    for clients in (8, 32):
        uvloop.run(crowd(local, "trivial", clients, 50))
        rate = uvloop.run(crowd(local, "trivial", clients, 4000 // clients))
        figure(f"trivial handler, {clients} raw clients", rate, "/s", "wanted: 1,800")
    ends: list[float] = []
    first = uvloop.run(crowd(local, "sleeps", 32, 10, ends))
    ends.sort()
    # A sliding window as long as the handler: how soon as many answers come as can come.
    full = next(end for end, later in zip(ends, ends[31:], strict=False) if later - end <= 32 / 310)
    # Ten seconds of it: of three, the first wave, which all clients begin at once, and the last would be a tenth.
    rate = uvloop.run(crowd(local, "sleeps", 32, 100))
    figure("handler of 100 ms, 32 raw clients, the first 320 from cold", first, "/s", "ideal: 320")
    figure("handler of 100 ms, 32 raw clients, at 310 a second after", full * 1000, "ms", "wanted: 1,000")
    figure("handler of 100 ms, 32 raw clients, warm", rate, "/s", "wanted: 310")


async def crowd(local: LocalProcess, name: str, clients: int, calls: int, ends: list[float] | None = None) -> float:
    """Invocations a second of so many clients with so many calls each; `ends` gets when each was answered."""
    parts = urlsplit(local.running.endpoint)
    head = f"POST /2015-03-31/functions/{name}/invocations HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
    request = head.encode() + b"{}"

    async def one() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for _ in range(calls):
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            if ends is not None:
                ends.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    return clients * calls / (time.perf_counter() - began)


def idle(local: LocalProcess) -> None:
    """Memory of its own that an idle environment holds."""
    found: list[dict[str, Any]] = local.running.request("GET", "/_lambdaform/environments")
    sizes = [uss(int(each["pid"])) for each in found if each.get("pid")]
    figure(f"memory of its own of an idle environment ({len(sizes)})", statistics.median(sizes), "MiB", "wanted: 4")


def uss(pid: int) -> float:
    """MiB that only this process holds."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    private = [int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty"))]
    return sum(private) / 1024
