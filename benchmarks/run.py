"""Speed as ratios: everything beside its floor or its peer, measured in one run on one machine.

python benchmarks/run.py [commands] [plan] [invoke] [environments] [endurance] [events] [peers]
"""

from __future__ import annotations

import http.client
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from endurance import endurance
from environments import environments
from events import events
from peers import peers

from lambdaform.local.process import LocalProcess, start

HERE = Path(__file__).parent
ROOT = HERE.parent
# Users' Pythons cache bytecode; a benchmark that may not would measure compiling.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def process(*arguments: str, runs: int = 11, cwd: Path = ROOT, **environment: str) -> float:
    """Median wall time of a whole Python process, in milliseconds."""
    times: list[float] = []
    for turn in range(runs + 1):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments],
            check=True,
            cwd=cwd,
            env={**ENVIRONMENT, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if turn:  # the first one fills caches
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def row(name: str, value: float, floor: float, wanted: str) -> None:
    """One line of the table."""
    print(f"  {name:<52} {value:9.1f} ms   {value / floor:6.2f} x   {wanted}")


def commands() -> None:
    """Commands of the demo against the floor of importing attrs."""
    print("Whole processes, medians")
    floor = process("-c", "import attrs")
    row('python -c "import attrs" (floor)', floor, floor, "")
    row("stacks/app.py --help", process("stacks/app.py", "--help"), floor, "wanted: 3 x")
    row("stacks/app.py validate", process("stacks/app.py", "validate"), floor, "wanted: 3 x")
    with tempfile.TemporaryDirectory() as folder:
        here = recorded(Path(folder), 1)
        one = process("many.py", "plan", "--region", "us-east-1", cwd=here, MANY="1")
        row("plan of 1 function", one, floor, "wanted: 4 x")


def plan() -> None:
    """Plans against recorded state, beside troposphere building the same."""
    print("Plan against recorded state, whole processes, medians")
    with tempfile.TemporaryDirectory() as folder:
        for many in (10, 100, 1000):
            here = recorded(Path(folder) / str(many), many)
            peer = process(str(HERE / "stacks/many_troposphere.py"), runs=5, MANY=str(many))
            same = process("many.py", "plan", "--region", "us-east-1", runs=5, cwd=here, MANY=str(many))
            new = process("many.py", "plan", "--region", "eu-west-1", runs=5, cwd=here, MANY=str(many))
            row(f"troposphere, {many} functions (peer)", peer, peer, "")
            row(f"plan, {many} functions, nothing changed", same, peer, "wanted: 1 x, aim 0.5 x")
            row(f"plan, {many} functions, all new", new, peer, "")


def recorded(folder: Path, many: int) -> Path:
    """A project whose state says that so many functions are deployed, made by the engine itself without AWS."""
    shutil.copytree(HERE / "stacks", folder, dirs_exist_ok=True)
    (folder / "pyproject.toml").write_text("")
    code = (
        f"import os; os.environ['MANY'] = '{many}'\n"
        "import many\n"
        "from pathlib import Path\n"
        "from lambdaform.engine.deployment import Deployment\n"
        "from lambdaform.engine.state import State\n"
        "from lambdaform.engine.store import save\n"
        "from lambdaform.model.driver import Record\n"
        "deployment = Deployment(many.Many(region='us-east-1').graph(), Path('.').absolute())\n"
        "packages, _ = deployment.packages()\n"
        "key = deployment.key('123456789012')\n"
        "state = State(key)\n"
        "state.records = {n.address: Record(address=n.address, kind=n.kind, physical_name=n.physical_name or n.name,\n"
        "    declared=n.props, props=n.props, outputs={'arn': 'arn:' + n.address, 'url': 'https://' + n.address},\n"
        "    needs=n.needs, package=packages[n.address].hash if n.address in packages else None)\n"
        "    for n in deployment.graph.nodes.values()}\n"
        "state.manifests = {p.hash: p.manifest() for p in packages.values()}\n"
        "save(state, deployment.store.path(key))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, env=ENVIRONMENT)
    return folder


INSTANT = """
import asyncio, re
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 2\\r\\n\\r\\n{}"
class Answer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
    def data_received(self, data):
        # Answers at once, but no sooner than the whole request is there: boto3 sends head and body apart.
        self.data += data
        head, end, body = self.data.partition(b"\\r\\n\\r\\n")
        length = re.search(rb"(?i)content-length: (\\d+)", head)
        if end and len(body) >= int(length[1] if length else 0):
            self.data = b""
            self.transport.write(ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def percentiles(*calls: Callable[[], Any], rounds: int = 10, of: int = 150) -> list[tuple[float, float]]:
    """p50 and p99 of each call, in milliseconds; taken in turns, as machines are not the same from second to second."""
    for call in calls:
        for _ in range(100):
            call()
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, found in zip(calls, times, strict=True):
            for _ in range(of):
                began = time.perf_counter()
                call()
                found.append((time.perf_counter() - began) * 1000)
    cuts = [statistics.quantiles(found, n=100) for found in times]
    return [(each[49], each[98]) for each in cuts]


def invoke() -> None:
    """Warm synchronous invocations beside the same client against a server that answers at once."""
    import boto3

    def lambda_client(endpoint: str) -> Any:
        return cast(Any, boto3.Session("local", "local", region_name="us-east-1")).client(
            "lambda", endpoint_url=endpoint
        )

    print("Warm synchronous invoke")
    instant = subprocess.Popen([sys.executable, "-c", INSTANT], stdout=subprocess.PIPE, text=True)
    local = start()
    try:
        assert instant.stdout is not None
        floor = lambda_client(f"http://127.0.0.1:{instant.stdout.readline().strip()}")
        client = lambda_client(local.running.endpoint)
        archive = BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("m.py", "def handler(event, context):\n    return {}\n")
        client.create_function(
            FunctionName="f",
            # The one AWS's own runtime client is installed for.
            Runtime=f"python{sys.version_info.major}.{sys.version_info.minor}",
            Handler="m.handler",
            Role="arn:aws:iam::123456789012:role/r",
            Code={"ZipFile": archive.getvalue()},
        )
        client.get_waiter("function_active_v2").wait(FunctionName="f")
        at_rest(local)
        parts = urlsplit(local.running.endpoint)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)

        def raw() -> None:
            connection.request("POST", "/2015-03-31/functions/f/invocations", b"{}")
            answer = connection.getresponse()
            answer.read()

        (floor50, floor99), (p50, p99), (raw50, raw99) = percentiles(
            lambda: floor.invoke(FunctionName="f", Payload=b"{}")["Payload"].read(),
            lambda: client.invoke(FunctionName="f", Payload=b"{}")["Payload"].read(),
            raw,
        )
        row("boto3, a server that answers at once (floor), p50", floor50, floor50, "")
        row("boto3, a server that answers at once (floor), p99", floor99, floor99, "")
        row("boto3, local AWS, p50", p50, floor50, "wanted: 1.4 x")
        row("boto3, local AWS, p99", p99, floor99, "of the floor's p99; wanted: 2 x")
        row("http.client, local AWS, p50", raw50, floor50, "wanted: 0.8 ms")
        row("http.client, local AWS, p99", raw99, floor99, "")
    finally:
        instant.terminate()
        instant.wait()
        local.close()


def at_rest(local: LocalProcess) -> None:
    """Wait until the data services, which the local AWS loads beside its work, are there."""
    import boto3

    cast(Any, boto3.Session("local", "local", region_name="us-east-1")).client(
        "dynamodb", endpoint_url=local.running.endpoint
    ).list_tables()


def main(names: Sequence[str]) -> None:
    """All parts, or those named."""
    parts = {
        "commands": commands,
        "plan": plan,
        "invoke": invoke,
        "endurance": endurance,
        "environments": environments,
        "events": events,
        "peers": peers,
    }
    unknown = [name for name in names if name not in parts]
    if unknown:
        sys.exit(f"there is no part {', '.join(unknown)}; there are {', '.join(parts)}")
    for name in names or ("commands", "plan", "invoke", "environments", "events", "peers"):
        parts[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
