"""One module per AWS resource kind: the declaration and its driver, side by side.

The kind `sqs.queue` lives in `sqs_queue.py`; its driver is that module's `DRIVER`. `catalog` finds both.
Modules here evaluate their annotations (no `from __future__ import annotations`): the marks in them are data.
"""
