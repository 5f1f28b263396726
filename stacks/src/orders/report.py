"""Reports every night what was sold."""

import json
import os
from typing import Any

import boto3

table = boto3.resource("dynamodb").Table(os.environ["ORDERS"])
s3 = boto3.client("s3")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Write the number of orders and their total to the bucket."""
    items: list[dict[str, Any]] = table.scan()["Items"]
    report = {"orders": len(items), "total": float(sum(item["total"] for item in items))}
    s3.put_object(Bucket=os.environ["REPORTS"], Key="latest.json", Body=json.dumps(report))
    print(f"report: {report}")
    return report
