"""Documents that several resources write into: a queue's policy, a bucket's notifications.

AWS keeps one document for each and replaces it as a whole, while every subscription, rule and trigger brings an entry
of its own, also ones of other stacks and ones made by hand. So each entry is a resource with an id of its own, and
its driver reads the document, changes that entry alone and writes it back, one writer at a time.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict

from lambdaform.model.driver import STACK_TAG, STAGE_TAG, Desired


class Turns:
    """One writer at a time for each document; documents do not wait for each other."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def of(self, document: str) -> threading.Lock:
        """The lock of one document."""
        with self._guard:
            return self._locks[document]


def entry_id(desired: Desired) -> str:
    """The id of an entry: the same in every run, another one in another stack or stage; letters and digits only."""
    import hashlib  # loads OpenSSL, and only a deployment needs it

    name = re.sub(r"[^A-Za-z0-9]+", "", desired.address.split(".", 2)[-1].title())[-60:]
    whole = f"{desired.tags.get(STACK_TAG)}/{desired.tags.get(STAGE_TAG)}/{desired.address}"
    return f"{name}{hashlib.sha256(whole.encode()).hexdigest()[:12]}"
