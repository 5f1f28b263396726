"""Declare an AWS Lambda architecture once; check it, see it, run it on your machine, deploy it.

The public names, loaded lazily: importing this package loads neither boto3 nor moto, nor the module of any kind that is
not used.
"""

from __future__ import annotations

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
    from lambdaform.resources.iam_role import Role as Role
    from lambdaform.resources.iam_role_policy import RolePolicy as RolePolicy
    from lambdaform.resources.lambda_event_source_mapping import EventSourceMapping as EventSourceMapping
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
    from lambdaform.resources.logs_group import LogGroup as LogGroup
    from lambdaform.resources.sqs_queue import DeadLetter as DeadLetter
    from lambdaform.resources.sqs_queue import Queue as Queue
    from lambdaform.stack import Stack as Stack

_WHERE = {
    "ACCOUNT_ID": "model.output",
    "Code": "model.code",
    "DeadLetter": "resources.sqs_queue",
    "EventSourceMapping": "resources.lambda_event_source_mapping",
    "FileSystem": "resources.lambda_function",
    "Function": "resources.lambda_function",
    "Grant": "model.resource",
    "Input": "model.output",
    "LogGroup": "resources.logs_group",
    "Logging": "resources.lambda_function",
    "Output": "model.output",
    "PARTITION": "model.output",
    "Parameter": "model.secret",
    "Provisioned": "resources.lambda_function",
    "PythonCode": "model.code",
    "Queue": "resources.sqs_queue",
    "REGION": "model.output",
    "Reserved": "resources.lambda_function",
    "Resource": "model.resource",
    "Role": "resources.iam_role",
    "RolePolicy": "resources.iam_role_policy",
    "RuntimeManagement": "resources.lambda_function",
    "Secret": "model.secret",
    "Stack": "stack",
    "Trigger": "model.resource",
    "Vpc": "resources.lambda_function",
    "by_stage": "model.output",
    "text": "model.output",
}

__all__ = [
    "ACCOUNT_ID",
    "PARTITION",
    "REGION",
    "Code",
    "DeadLetter",
    "EventSourceMapping",
    "FileSystem",
    "Function",
    "Grant",
    "Input",
    "LogGroup",
    "Logging",
    "Output",
    "Parameter",
    "Provisioned",
    "PythonCode",
    "Queue",
    "Reserved",
    "Resource",
    "Role",
    "RolePolicy",
    "RuntimeManagement",
    "Secret",
    "Stack",
    "Trigger",
    "Vpc",
    "by_stage",
    "text",
]


def __getattr__(name: str) -> Any:
    try:
        module = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'lambdaform' has no attribute {name!r}") from None
    value = getattr(importlib.import_module("lambdaform." + module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
