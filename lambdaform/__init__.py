"""Declare an AWS Lambda architecture once; check it, see it, run it on your machine, deploy it.

The public names, loaded lazily: importing this package loads neither boto3 nor moto, nor the module of any kind that is
not used.
"""

from __future__ import annotations

import gc
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lambdaform.model.code import Code as Code
    from lambdaform.model.code import PythonCode as PythonCode
    from lambdaform.model.output import (
        ACCOUNT_ID as ACCOUNT_ID,
    )
    from lambdaform.model.output import (
        PARTITION as PARTITION,
    )
    from lambdaform.model.output import (
        REGION as REGION,
    )
    from lambdaform.model.output import (
        Input as Input,
    )
    from lambdaform.model.output import (
        Output as Output,
    )
    from lambdaform.model.output import (
        by_stage as by_stage,
    )
    from lambdaform.model.output import (
        text as text,
    )
    from lambdaform.model.resource import Grant as Grant
    from lambdaform.model.resource import Resource as Resource
    from lambdaform.model.resource import Trigger as Trigger
    from lambdaform.model.secret import Parameter as Parameter
    from lambdaform.model.secret import Secret as Secret
    from lambdaform.resources.dynamodb_table import (
        Capacity as Capacity,
    )
    from lambdaform.resources.dynamodb_table import (
        GlobalIndex as GlobalIndex,
    )
    from lambdaform.resources.dynamodb_table import (
        Key as Key,
    )
    from lambdaform.resources.dynamodb_table import (
        Table as Table,
    )
    from lambdaform.resources.events_bus import EventBus as EventBus
    from lambdaform.resources.events_rule import EventRule as EventRule
    from lambdaform.resources.events_rule import RuleTarget as RuleTarget
    from lambdaform.resources.iam_role import Role as Role
    from lambdaform.resources.iam_role_policy import RolePolicy as RolePolicy
    from lambdaform.resources.kinesis_stream import Stream as Stream
    from lambdaform.resources.lambda_alias import Alias as Alias
    from lambdaform.resources.lambda_event_invoke_config import EventInvokeConfig as EventInvokeConfig
    from lambdaform.resources.lambda_event_source_mapping import (
        EventSourceMapping as EventSourceMapping,
    )
    from lambdaform.resources.lambda_event_source_mapping import (
        SourceAccess as SourceAccess,
    )
    from lambdaform.resources.lambda_function import (
        FileSystem as FileSystem,
    )
    from lambdaform.resources.lambda_function import (
        Function as Function,
    )
    from lambdaform.resources.lambda_function import (
        Logging as Logging,
    )
    from lambdaform.resources.lambda_function import (
        Provisioned as Provisioned,
    )
    from lambdaform.resources.lambda_function import (
        Reserved as Reserved,
    )
    from lambdaform.resources.lambda_function import (
        RuntimeManagement as RuntimeManagement,
    )
    from lambdaform.resources.lambda_function import (
        Vpc as Vpc,
    )
    from lambdaform.resources.lambda_layer import Layer as Layer
    from lambdaform.resources.lambda_permission import Permission as Permission
    from lambdaform.resources.lambda_provisioned_concurrency import ProvisionedConcurrency as ProvisionedConcurrency
    from lambdaform.resources.lambda_url import Cors as Cors
    from lambdaform.resources.lambda_url import FunctionUrl as FunctionUrl
    from lambdaform.resources.lambda_version import Version as Version
    from lambdaform.resources.logs_group import LogGroup as LogGroup
    from lambdaform.resources.s3_bucket import Bucket as Bucket
    from lambdaform.resources.s3_bucket import BucketCors as BucketCors
    from lambdaform.resources.s3_bucket import Expire as Expire
    from lambdaform.resources.s3_notification import BucketNotification as BucketNotification
    from lambdaform.resources.scheduler_schedule import ScheduledCall as ScheduledCall
    from lambdaform.resources.sns_subscription import Subscription as Subscription
    from lambdaform.resources.sns_topic import Topic as Topic
    from lambdaform.resources.sqs_queue import DeadLetter as DeadLetter
    from lambdaform.resources.sqs_queue import Queue as Queue
    from lambdaform.resources.sqs_queue_policy import QueuePermission as QueuePermission
    from lambdaform.stack import Stack as Stack
    from lambdaform.triggers.documentdb_stream import DocumentDbStream as DocumentDbStream
    from lambdaform.triggers.event_rule import Rule as Rule
    from lambdaform.triggers.kafka_topic import KafkaTopic as KafkaTopic
    from lambdaform.triggers.mq_queue import MqQueue as MqQueue
    from lambdaform.triggers.msk_topic import MskTopic as MskTopic
    from lambdaform.triggers.schedule import Schedule as Schedule

_WHERE = {
    "ACCOUNT_ID": "model.output",
    "Alias": "resources.lambda_alias",
    "Bucket": "resources.s3_bucket",
    "BucketCors": "resources.s3_bucket",
    "Capacity": "resources.dynamodb_table",
    "Code": "model.code",
    "Cors": "resources.lambda_url",
    "DeadLetter": "resources.sqs_queue",
    "DocumentDbStream": "triggers.documentdb_stream",
    "EventBus": "resources.events_bus",
    "EventInvokeConfig": "resources.lambda_event_invoke_config",
    "EventRule": "resources.events_rule",
    "RuleTarget": "resources.events_rule",
    "BucketNotification": "resources.s3_notification",
    "EventSourceMapping": "resources.lambda_event_source_mapping",
    "Expire": "resources.s3_bucket",
    "FileSystem": "resources.lambda_function",
    "Function": "resources.lambda_function",
    "FunctionUrl": "resources.lambda_url",
    "GlobalIndex": "resources.dynamodb_table",
    "Grant": "model.resource",
    "Input": "model.output",
    "KafkaTopic": "triggers.kafka_topic",
    "Key": "resources.dynamodb_table",
    "Layer": "resources.lambda_layer",
    "LogGroup": "resources.logs_group",
    "Logging": "resources.lambda_function",
    "MqQueue": "triggers.mq_queue",
    "MskTopic": "triggers.msk_topic",
    "Output": "model.output",
    "PARTITION": "model.output",
    "Parameter": "model.secret",
    "Permission": "resources.lambda_permission",
    "Provisioned": "resources.lambda_function",
    "ProvisionedConcurrency": "resources.lambda_provisioned_concurrency",
    "PythonCode": "model.code",
    "Queue": "resources.sqs_queue",
    "QueuePermission": "resources.sqs_queue_policy",
    "REGION": "model.output",
    "Reserved": "resources.lambda_function",
    "Resource": "model.resource",
    "Role": "resources.iam_role",
    "RolePolicy": "resources.iam_role_policy",
    "Rule": "triggers.event_rule",
    "RuntimeManagement": "resources.lambda_function",
    "Schedule": "triggers.schedule",
    "ScheduledCall": "resources.scheduler_schedule",
    "Secret": "model.secret",
    "SourceAccess": "resources.lambda_event_source_mapping",
    "Stack": "stack",
    "Stream": "resources.kinesis_stream",
    "Subscription": "resources.sns_subscription",
    "Table": "resources.dynamodb_table",
    "Topic": "resources.sns_topic",
    "Trigger": "model.resource",
    "Version": "resources.lambda_version",
    "Vpc": "resources.lambda_function",
    "by_stage": "model.output",
    "text": "model.output",
}

__all__ = [
    "ACCOUNT_ID",
    "PARTITION",
    "REGION",
    "Alias",
    "Bucket",
    "BucketCors",
    "BucketNotification",
    "Capacity",
    "Code",
    "Cors",
    "DeadLetter",
    "DocumentDbStream",
    "EventBus",
    "EventInvokeConfig",
    "EventRule",
    "EventSourceMapping",
    "Expire",
    "FileSystem",
    "Function",
    "FunctionUrl",
    "GlobalIndex",
    "Grant",
    "Input",
    "KafkaTopic",
    "Key",
    "Layer",
    "LogGroup",
    "Logging",
    "MqQueue",
    "MskTopic",
    "Output",
    "Parameter",
    "Permission",
    "Provisioned",
    "ProvisionedConcurrency",
    "PythonCode",
    "Queue",
    "QueuePermission",
    "Reserved",
    "Resource",
    "Role",
    "RolePolicy",
    "Rule",
    "RuleTarget",
    "RuntimeManagement",
    "Schedule",
    "ScheduledCall",
    "Secret",
    "SourceAccess",
    "Stack",
    "Stream",
    "Subscription",
    "Table",
    "Topic",
    "Trigger",
    "Version",
    "Vpc",
    "by_stage",
    "text",
]


def __getattr__(name: str) -> Any:
    try:
        module = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'lambdaform' has no attribute {name!r}") from None
    # Loading makes many objects and no garbage: looking for some takes milliseconds of every command.
    was_on = gc.isenabled()
    gc.disable()
    try:
        value = getattr(importlib.import_module("lambdaform." + module), name)
    finally:
        if was_on:
            gc.enable()
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
