"""What values within declarations have in common: they are equal where their fields are, and say what they hold."""

from __future__ import annotations

from typing import Any

import attrs


class Value:
    """Equality, hash and text of an attrs class, written once.

    attrs writes and compiles them for each class anew, which was 6 of the 80 ms that a command of the demo takes beyond
    the start of Python. A class with this one as its base is declared with `eq=False, repr=False`. These are the slower
    ones to call: what thousands are compared of keeps its own.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value) or other.__class__ is not self.__class__:
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash((self.__class__, self._compared()))

    def __repr__(self) -> str:
        fields = [field for field in attrs.fields(self.__class__) if field.repr]
        shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields)
        return f"{type(self).__qualname__}({shown})"

    def _compared(self) -> tuple[Any, ...]:
        return tuple([getattr(self, field.name) for field in attrs.fields(self.__class__) if field.eq])
