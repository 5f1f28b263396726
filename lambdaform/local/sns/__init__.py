"""Amazon SNS: topics that fan out to queues and functions, with filter policies and dead letters.

`values` holds topics and subscriptions, `documents` what each kind of endpoint gets, `service` the operations.
"""

from lambdaform.local.sns.service import Sns

__all__ = ["Sns"]
