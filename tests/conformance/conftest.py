"""The facts are shown against the same real local AWS as the tests beside them."""

from tests.local.conftest import aws, awslambda, function, virtual

__all__ = ["aws", "awslambda", "function", "virtual"]
