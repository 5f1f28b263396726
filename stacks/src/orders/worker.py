"""Works orders off the queue: prices them, stores them, says that they are on their way."""

import json
import os
from decimal import Decimal
from typing import Any

import boto3

from catalogue import price

table = boto3.resource("dynamodb").Table(os.environ["ORDERS"])
topic = boto3.resource("sns").Topic(os.environ["SHIPPED"])


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Name the messages that failed; they come back, and after five receives go to the dead-letter queue."""
    failures: list[dict[str, str]] = []
    for record in event["Records"]:
        try:
            work_off(json.loads(record["body"]))
        except (ValueError, KeyError, TypeError) as error:
            print(f"cannot work off {record['body']}: {error!r}")
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def work_off(order: dict[str, Any]) -> None:
    """Store one order and publish it. Raises `KeyError`, `TypeError` or `ValueError` for one that makes no sense."""
    if not order["id"]:
        raise ValueError("an order needs an id")
    total = Decimal(str(price(order["article"], order["amount"])))
    table.put_item(Item={"id": order["id"], "article": order["article"], "amount": order["amount"], "total": total})
    topic.publish(Message=json.dumps({"id": order["id"]}))
    print(f"order {order['id']}: {order['amount']} x {order['article']} for {total}")
