"""S3's event notifications: who wants to hear of what in a bucket, and what they are told.

Objects live in the library; `hook` looks at requests on their way there and back, `configuration` reads and checks what
a bucket notifies of, `documents` words the events.
"""

from lambdaform.local.notifications.hook import Notifications

__all__ = ["Notifications"]
