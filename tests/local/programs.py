"""Layers with extensions for the tests: small programs that call the Extensions API and print what they get."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

from tests.local.conftest import Aws, unique
from tests.patience import PATIENCE

PRELUDE = r"""#!/usr/bin/env -S python3 -IS
import http.client, json, os, sys, time

NAME = os.path.basename(sys.argv[0])


def call(method, path, body=None, **headers):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    connection.request(method, path, json.dumps(body) if body is not None else None, named)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, answer.headers, json.loads(text) if text else None


def register(*events, name=NAME, **headers):
    return call("POST", "/2020-01-01/extension/register", {"events": events}, Lambda_Extension_Name=name, **headers)


def following(identifier):
    return call("GET", "/2020-01-01/extension/event/next", Lambda_Extension_Identifier=identifier)[2]


def fail(ask, identifier, kind):
    headers = {"Lambda_Extension_Identifier": identifier, "Lambda_Extension_Function_Error_Type": kind}
    return call("POST", f"/2020-01-01/extension/{ask}/error", {"errorMessage": "no"}, **headers)


def say(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def listen(identifier):
    while True:
        event = following(identifier)
        say(event=event)
        if event["eventType"] == "SHUTDOWN":
            sys.exit()
        yield event
"""

REGISTER = 'ID = register("INVOKE", "SHUTDOWN")[1]["Lambda-Extension-Identifier"]\n'
LISTEN = REGISTER + "for event in listen(ID):\n    pass\n"
"""An extension that does nothing but listen."""


def archive(files: Mapping[str, str], *, mode: int = 0o755) -> bytes:
    """A zip of these files, with their mode."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        for name, text in files.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            made.writestr(info, text)
    return data.getvalue()


def layer(aws: Aws, files: Mapping[str, str], *, mode: int = 0o755) -> str:
    """A layer of these files; its ARN."""
    content = {"ZipFile": archive(files, mode=mode)}
    published = aws.client("lambda").publish_layer_version(LayerName=unique("layer"), Content=content)
    return published["LayerVersionArn"]


def extensions(aws: Aws, **sources: str) -> list[str]:
    """The layers setting of a function with these extensions: their source follows the prelude above."""
    return [layer(aws, {f"extensions/{name}": PRELUDE + source for name, source in sources.items()})]


def lines(aws: Aws, name: str, *, region: str = "us-east-1") -> list[str]:
    """Every line a function has logged, in order."""
    logs = aws.client("logs", region=region)
    try:
        found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [each["message"] for each in found]


def said(aws: Aws, name: str, key: str) -> list[Any]:
    """What extensions have printed under a key."""
    found: list[Any] = []
    for line in lines(aws, name):
        if line.startswith("{"):
            document = json.loads(line)
            if key in document:
                found.append(document[key])
    return found


def until(holds: Callable[[], Any]) -> Any:
    """Wait until something is true; gives it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.01)
    return found


TELEMETRY = r"""
import http.server, socketserver, threading


class Hearing(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = STATUS.pop(0) if STATUS else 200
        self.send_response(status)
        self.end_headers()
        say(heard=body, path=self.path, method=self.command)
        HEARD.extend(each["type"] for each in body if status == 200)

    do_PUT = do_POST

    def log_message(self, *_):
        pass


STATUS, HEARD = [], []


def attend(identifier, kind):
    # Asks for the next event only when one of a kind has been heard for each invocation.
    for number, _ in enumerate(listen(identifier), 1):
        deadline = time.monotonic() + 3
        while HEARD.count(kind) < number and time.monotonic() < deadline:
            time.sleep(0.002)


LISTENING = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hearing)
threading.Thread(target=LISTENING.serve_forever, daemon=True).start()
PORT = LISTENING.server_address[1]


def subscribe(identifier, path="/2022-07-01/telemetry", **settings):
    body = {
        "schemaVersion": "2022-12-13",
        "types": ["platform", "function"],
        "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
        "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{PORT}"},
        **settings,
    }
    return call("PUT", path, body, Lambda_Extension_Identifier=identifier)
"""
"""What an extension needs to hear telemetry; what it hears it prints, under `heard`."""


def heard(aws: Aws, name: str) -> list[Any]:
    """The telemetry events that an extension of a function has printed."""
    return [event for batch in said(aws, name, "heard") for event in batch]
