"""A handler that says as what it was invoked."""

from typing import Any


def handler(event: Any, context: Any) -> list[str]:
    return [context.function_version, context.invoked_function_arn.rpartition(":")[2]]
