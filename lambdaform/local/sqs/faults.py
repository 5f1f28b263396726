"""The errors of SQS: a shape's name for JSON clients, and the older code beside it that most programs look at."""

from __future__ import annotations

from lambdaform.local.ports import AwsFault

# Names that differ between the JSON protocol and the query protocol before it; the header carries the latter.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-json-faqs.html
_QUERY_CODES = {
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "QueueDeletedRecently": "AWS.SimpleQueueService.QueueDeletedRecently",
    "BatchEntryIdsNotDistinct": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
    "EmptyBatchRequest": "AWS.SimpleQueueService.EmptyBatchRequest",
    "InvalidBatchEntryId": "AWS.SimpleQueueService.InvalidBatchEntryId",
    "TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    "MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
    "PurgeQueueInProgress": "AWS.SimpleQueueService.PurgeQueueInProgress",
    "UnsupportedOperation": "AWS.SimpleQueueService.UnsupportedOperation",
    "InvalidParameterValueException": "InvalidParameterValue",
    "MissingRequiredParameterException": "MissingParameter",
}


def query_code(shape: str) -> str:
    """The code the query protocol has for an error shape."""
    return _QUERY_CODES.get(shape, shape)


def fault(shape: str, message: str) -> AwsFault:
    """An error of SQS by the name of its shape."""
    return AwsFault(shape, message, headers={"x-amzn-query-error": f"{query_code(shape)};Sender"})


def no_queue() -> AwsFault:
    """The queue is not there."""
    return fault("QueueDoesNotExist", "The specified queue does not exist.")


def invalid_parameter(name: str, value: object, reason: str) -> AwsFault:
    """A parameter with a value AWS does not take."""
    return fault("InvalidParameterValueException", f"Value {value} for parameter {name} is invalid. Reason: {reason}")


def missing_parameter(name: str) -> AwsFault:
    """A parameter this kind of queue needs."""
    return fault("MissingRequiredParameterException", f"The request must contain the parameter {name}.")


def invalid_handle(handle: str) -> AwsFault:
    """A text that is no receipt handle."""
    return fault("ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is not a valid receipt handle.')
