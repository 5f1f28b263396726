"""Counts files by their folder."""

import os
from typing import Any
from urllib.parse import unquote_plus

import boto3

table = boto3.resource("dynamodb").Table(os.environ["COUNTS"])


def handler(event: dict[str, Any], context: object) -> None:
    """Add one for every object; a key without a folder is a mistake."""
    for record in event["Records"]:
        kind, separator, _ = unquote_plus(record["s3"]["object"]["key"]).partition("/")
        if not separator:
            raise ValueError("files belong in a folder")
        table.update_item(Key={"kind": kind}, UpdateExpression="ADD files :one", ExpressionAttributeValues={":one": 1})
