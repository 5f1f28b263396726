"""Takes an order over HTTP and puts it into the queue."""

import json
import os
import uuid
from typing import Any

import boto3

from catalogue import PRICES

sqs = boto3.client("sqs")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer 202 with the order's id, or 400 with what is wrong."""
    if event["requestContext"]["http"]["method"] == "GET":
        return {"statusCode": 200, "body": json.dumps(PRICES)}
    try:
        order = json.loads(event.get("body") or "")
        order = {"id": str(uuid.uuid4()), "article": order["article"], "amount": int(order["amount"])}
    except (ValueError, KeyError, TypeError):
        return {"statusCode": 400, "body": json.dumps({"error": "an order has an article and an amount"})}
    sqs.send_message(QueueUrl=os.environ["INBOX"], MessageBody=json.dumps(order))
    return {"statusCode": 202, "body": json.dumps({"id": order["id"]})}
