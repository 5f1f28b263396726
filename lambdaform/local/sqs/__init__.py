"""Amazon SQS: queues with visibility, delay, retention, redrive and FIFO groups, on the local AWS's clock.

`values` holds what a queue is, `rules` what happens to its messages, `attributes` and `messages` what AWS takes,
`batches` the frame of batch calls, `moves` the redrive of dead letters, `service` the operations.
"""

from lambdaform.local.sqs.service import Sqs
from lambdaform.local.sqs.values import Attribute, Message, Queue

__all__ = ["Attribute", "Message", "Queue", "Sqs"]
