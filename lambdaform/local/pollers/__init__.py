"""The pollers of event source mappings: queues in `sqs`, Kinesis and DynamoDB streams in `streams`, real brokers in
`brokers` with a reader for each kind.

`EventPollers` is what Lambda's control plane sees. Decisions are in `batching`, `filters`, `answers` and `retries`.
"""

from lambdaform.local.pollers.polling import EventPollers

__all__ = ["EventPollers"]
