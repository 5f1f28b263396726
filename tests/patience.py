"""How long tests wait for what must come."""

PATIENCE = 90.0
"""Seconds. Long, because machines may be slow: nothing waits that long unless it never comes."""
