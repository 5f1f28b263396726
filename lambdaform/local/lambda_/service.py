"""The Lambda service behind the door: every operation by name, each told in its own module."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from lambdaform.local.lambda_ import functions, invoke, permissions, versions
from lambdaform.local.lambda_.invoking import Invoking
from lambdaform.local.lambda_.plane import Plane
from lambdaform.local.operations import answer
from lambdaform.local.ports import Call, Json

Answer = Mapping[str, Json]

OPERATIONS: Mapping[str, Callable[[Plane, Call], Awaitable[Answer]]] = {
    "CreateFunction": functions.create_function,
    "GetFunction": functions.get_function,
    "GetFunctionConfiguration": functions.get_function_configuration,
    "ListFunctions": functions.list_functions,
    "DeleteFunction": functions.delete_function,
    "UpdateFunctionCode": functions.update_function_code,
    "UpdateFunctionConfiguration": functions.update_function_configuration,
    "PublishVersion": versions.publish_version,
    "ListVersionsByFunction": versions.list_versions_by_function,
    "AddPermission": permissions.add_permission,
    "RemovePermission": permissions.remove_permission,
    "GetPolicy": permissions.get_policy,
}

INVOCATIONS: Mapping[str, Callable[[Plane, Invoking, Call], Awaitable[Answer]]] = {
    "Invoke": invoke.invoke,
    "InvokeAsync": invoke.invoke_async,
    "InvokeWithResponseStream": invoke.invoke_with_response_stream,
}


class Lambda:
    """AWS Lambda, as the door sees it."""

    name = "lambda"

    def __init__(self, plane: Plane, invoking: Invoking) -> None:
        self._operations = {name: partial(run, plane) for name, run in OPERATIONS.items()}
        self._operations |= {name: partial(run, plane, invoking) for name, run in INVOCATIONS.items()}

    async def handle(self, call: Call) -> Answer:
        """Answer one call. Raises `AwsFault`."""
        return await answer(self._operations, call)
