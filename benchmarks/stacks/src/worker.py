"""A handler that does nothing."""


def handler(event: object, context: object) -> None:
    """Nothing."""
