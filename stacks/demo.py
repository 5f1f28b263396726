"""`make demo`: the main job in a minute. Deploys the example to a local AWS, and sends real events through it.

Everything here goes through the same commands and clients that users have: the command line in `app.py`, HTTP for the
function URL, boto3 for the rest.
"""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import boto3

from lambdaform.local.process import Running, announce, start, withdraw

HERE = Path(__file__).parent
APP = HERE / "app.py"
STATE = HERE.parent / ".lambdaform"
PICTURE = STATE / "orders.svg"


def say(text: str) -> None:
    """A heading."""
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def run(*arguments: str) -> None:
    """A command of the example's own command line; a failure ends the demo."""
    print(f"$ python stacks/app.py {' '.join(arguments)}", flush=True)
    subprocess.run([sys.executable, str(APP), *arguments], check=True)


def http(url: str, body: object = None) -> Any:
    """POST JSON (or GET) and read JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def until(what: str, look: Callable[[], Any]) -> Any:
    """Look until there is something; ends the demo when it does not come."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit(f"waited 30 s for {what}, and it did not happen")


def main() -> None:
    """The whole demo."""
    say("Check the declaration, and see what a deploy would do")
    run("validate")
    run("diagram", "-o", str(PICTURE))
    process = start()
    try:
        announce(STATE, process.running)
        run("plan", "--local")
        say("Deploy it to a local AWS")
        run("deploy", "--local", "--yes")
        drive(process.running)
        say("Deploying again has nothing to do")
        run("deploy", "--local", "--yes", "-q")
        print(f"\nThe picture of the architecture is in {PICTURE.relative_to(HERE.parent)}")
        print("Next: python stacks/app.py local   (then edit a handler and save)")
    finally:
        withdraw(STATE)
        process.close()


def drive(running: Running) -> None:
    """Real events: HTTP, queue, dead letter, event bus, schedule's function."""
    session = boto3.Session("local", "local", region_name=running.region)

    def client(service: str) -> Any:
        return cast(Any, session).client(service, endpoint_url=running.endpoint)

    url = client("lambda").get_function_url_config(FunctionName="orders-dev-api")["FunctionUrl"]
    say("An order over HTTP: function URL -> queue -> worker -> table -> topic -> notifier")
    status, order = http(url, {"article": "tea", "amount": 3})
    print(f"POST {url} -> {status} {order}")
    print(f"POST {url} with nonsense -> {http(url, {'article': 'tea'})}")
    item = until(
        "the order in the table",
        lambda: client("dynamodb").get_item(TableName="orders-dev-orders", Key={"id": {"S": order["id"]}}).get("Item"),
    )
    print(f"in the table: {item['article']['S']} x {item['amount']['N']} for {item['total']['N']}")
    run("logs", "worker", "--local")
    until("the notifier's log", lambda: log_of(client, "notifier"))
    run("logs", "notifier", "--local")

    say("An event on the bus: rule -> auditor")
    detail = json.dumps({"id": order["id"]})
    client("events").put_events(Entries=[{"Source": "shop", "DetailType": "order cancelled", "Detail": detail}])
    until("the auditor's log", lambda: log_of(client, "auditor"))
    run("logs", "auditor", "--local")

    say("The nightly report, invoked by hand with a sample of its schedule's event")
    run("invoke", "report", "--event", "schedule", "--local")
    stored = client("s3").get_object(Bucket=bucket_of(client), Key="latest.json")["Body"].read()
    print(f"in the bucket: {stored.decode()}")


def log_of(client: Callable[[str], Any], name: str) -> bool:
    """Whether a function has written the end of an invocation."""
    answer = client("logs").filter_log_events(logGroupName=f"/aws/lambda/orders-dev-{name}")
    return any(event["message"].startswith("REPORT") for event in answer["events"])


def bucket_of(client: Callable[[str], Any]) -> str:
    """The report bucket; its name has account and region in it."""
    names = [bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]]
    return next(name for name in names if name.startswith("orders-dev-reports"))


if __name__ == "__main__":
    main()
