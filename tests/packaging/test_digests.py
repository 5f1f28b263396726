"""The hash of what is packed is SHA-256, whoever computes it."""

from __future__ import annotations

import hashlib

import pytest

from lambdaform.packaging.digests import sha256


@pytest.mark.parametrize("size", [0, 1, 1000, 256 * 1024 - 1, 256 * 1024, 300_000])
def test_a_hash_is_the_same_by_both_ways(size: int) -> None:
    content = bytes(number % 251 for number in range(size))

    assert sha256(content) == hashlib.sha256(content).hexdigest()
