"""The Lambda service behind the door: every operation by name, each told in its own module."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from lambdaform.local.lambda_ import (
    aliases,
    concurrency,
    event_invoke,
    function_urls,
    functions,
    invoke,
    kept,
    layers,
    mappings,
    permissions,
    signing,
    snap_start,
    tags,
    versions,
)
from lambdaform.local.lambda_.blueprints import Blueprints
from lambdaform.local.lambda_.invoking import Invoking
from lambdaform.local.lambda_.plane import Plane
from lambdaform.local.operations import Operation, answer
from lambdaform.local.ports import Call, Json

Answer = Mapping[str, Json]

OPERATIONS: Mapping[str, Callable[[Plane, Call], Awaitable[Answer]]] = {
    "GetFunction": functions.get_function,
    "GetFunctionConfiguration": functions.get_function_configuration,
    "ListFunctions": functions.list_functions,
    "DeleteFunction": functions.delete_function,
    "UpdateFunctionConfiguration": functions.update_function_configuration,
    "ListVersionsByFunction": versions.list_versions_by_function,
    "AddPermission": permissions.add_permission,
    "RemovePermission": permissions.remove_permission,
    "GetPolicy": permissions.get_policy,
    "CreateAlias": aliases.create_alias,
    "GetAlias": aliases.get_alias,
    "ListAliases": aliases.list_aliases,
    "DeleteAlias": aliases.delete_alias,
    "PutFunctionConcurrency": concurrency.put_function_concurrency,
    "GetFunctionConcurrency": concurrency.get_function_concurrency,
    "DeleteFunctionConcurrency": concurrency.delete_function_concurrency,
    "GetProvisionedConcurrencyConfig": concurrency.get_provisioned_concurrency_config,
    "DeleteProvisionedConcurrencyConfig": concurrency.delete_provisioned_concurrency_config,
    "ListProvisionedConcurrencyConfigs": concurrency.list_provisioned_concurrency_configs,
    "GetAccountSettings": concurrency.get_account_settings,
    "PutFunctionEventInvokeConfig": event_invoke.put_function_event_invoke_config,
    "UpdateFunctionEventInvokeConfig": event_invoke.update_function_event_invoke_config,
    "GetFunctionEventInvokeConfig": event_invoke.get_function_event_invoke_config,
    "DeleteFunctionEventInvokeConfig": event_invoke.delete_function_event_invoke_config,
    "ListFunctionEventInvokeConfigs": event_invoke.list_function_event_invoke_configs,
    "CreateFunctionUrlConfig": function_urls.create_function_url_config,
    "GetFunctionUrlConfig": function_urls.get_function_url_config,
    "UpdateFunctionUrlConfig": function_urls.update_function_url_config,
    "DeleteFunctionUrlConfig": function_urls.delete_function_url_config,
    "ListFunctionUrlConfigs": function_urls.list_function_url_configs,
    "GetFunctionRecursionConfig": kept.get_function_recursion_config,
    "PutFunctionRecursionConfig": kept.put_function_recursion_config,
    "GetRuntimeManagementConfig": kept.get_runtime_management_config,
    "PutRuntimeManagementConfig": kept.put_runtime_management_config,
    "GetFunctionScalingConfig": kept.get_function_scaling_config,
    "PutFunctionScalingConfig": kept.put_function_scaling_config,
    "PublishLayerVersion": layers.publish_layer_version,
    "GetLayerVersion": layers.get_layer_version,
    "GetLayerVersionByArn": layers.get_layer_version_by_arn,
    "ListLayers": layers.list_layers,
    "ListLayerVersions": layers.list_layer_versions,
    "DeleteLayerVersion": layers.delete_layer_version,
    "AddLayerVersionPermission": layers.add_layer_version_permission,
    "RemoveLayerVersionPermission": layers.remove_layer_version_permission,
    "GetLayerVersionPolicy": layers.get_layer_version_policy,
    "CreateEventSourceMapping": mappings.create_event_source_mapping,
    "GetEventSourceMapping": mappings.get_event_source_mapping,
    "ListEventSourceMappings": mappings.list_event_source_mappings,
    "UpdateEventSourceMapping": mappings.update_event_source_mapping,
    "DeleteEventSourceMapping": mappings.delete_event_source_mapping,
    "CreateCodeSigningConfig": signing.create_code_signing_config,
    "GetCodeSigningConfig": signing.get_code_signing_config,
    "ListCodeSigningConfigs": signing.list_code_signing_configs,
    "UpdateCodeSigningConfig": signing.update_code_signing_config,
    "DeleteCodeSigningConfig": signing.delete_code_signing_config,
    "ListFunctionsByCodeSigningConfig": signing.list_functions_by_code_signing_config,
    "PutFunctionCodeSigningConfig": signing.put_function_code_signing_config,
    "GetFunctionCodeSigningConfig": signing.get_function_code_signing_config,
    "DeleteFunctionCodeSigningConfig": signing.delete_function_code_signing_config,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "ListTags": tags.list_tags,
}

INVOCATIONS: Mapping[str, Callable[[Plane, Invoking, Call], Awaitable[Answer]]] = {
    "Invoke": invoke.invoke,
    "InvokeAsync": invoke.invoke_async,
    "InvokeWithResponseStream": invoke.invoke_with_response_stream,
}


PREPARING: Mapping[str, Callable[[Plane, Blueprints, Call], Awaitable[Answer]]] = {
    "PutProvisionedConcurrencyConfig": concurrency.put_provisioned_concurrency_config,
    "UpdateAlias": concurrency.update_alias,
    "CreateFunction": snap_start.create_function,
    "UpdateFunctionCode": snap_start.update_function_code,
    "PublishVersion": snap_start.publish_version,
}


class Lambda:
    """AWS Lambda, as the door sees it."""

    name = "lambda"

    def __init__(self, plane: Plane, invoking: Invoking, blueprints: Blueprints) -> None:
        self._operations: dict[str, Operation] = {name: partial(run, plane) for name, run in OPERATIONS.items()}
        self._operations |= {name: partial(run, plane, invoking) for name, run in INVOCATIONS.items()}
        self._operations |= {name: partial(run, plane, blueprints) for name, run in PREPARING.items()}

    async def handle(self, call: Call) -> Answer:
        """Answer one call. Raises `AwsFault`."""
        return await answer(self._operations, call)
