"""Whether the values of a declaration are of the kinds that its annotations say.

Type checkers tell it before anything runs; this is for people who use none. What an annotation cannot be read for is
let through: a wrong message is worse than a late one.
"""

from __future__ import annotations

import builtins
import operator
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ForwardRef, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin

import attrs

from lambdaform.model.marks import Sensitive
from lambdaform.model.output import ByStage, Output, Unreadable

Test = Callable[[Any], bool]
_Field = tuple[str, Any, Test, Any, bool, frozenset[type]]
"""Name, default, test, annotation, whether it is secret, and the types of values that need no test."""

_EMPTY = frozenset({dict, tuple, list})
_WORDS: Mapping[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    bytes: "bytes",
    Path: "a path",
    types.NoneType: "None",
}


class Misfit(NamedTuple):
    """One value of another kind than its field takes."""

    field: str
    """With what leads to it: `vpc.subnets`, `environment`."""
    given: str
    allowed: str
    hint: str


def misfits(value: object, seen: dict[int, object] | None = None) -> Iterator[Misfit]:
    """Every misfit among the fields of an attrs value, and of the declared values inside them.

    What is in `seen` by its identity is passed over: resources share values, such as their code.
    """
    seen = {} if seen is None else seen
    fields, read = _fields(type(value))
    for (name, default, test, annotation, is_sensitive, plain), found in zip(fields, read(value), strict=True):
        if found is default or type(found) in plain or (not found and type(found) in _EMPTY):
            continue
        if not test(found):
            allowed = words(annotation)
            yield Misfit(name, described(found, hidden=is_sensitive), allowed, _hint(allowed))
        elif not isinstance(found, (str, int)):
            for inner in _inside(found):
                if id(inner) not in seen:
                    seen[id(inner)] = inner
                    for misfit in misfits(inner, seen):
                        yield misfit._replace(field=f"{name}.{misfit.field}")


def _inside(value: object) -> Iterable[object]:
    """The plain declared values in a value: not resources, which are looked at for themselves."""
    from lambdaform.model.resource import Resource

    if isinstance(value, (Resource, Output)):
        return ()
    if isinstance(value, Mapping):
        return (each for held in cast(Mapping[Any, Any], value).values() for each in _inside(held))
    if isinstance(value, (list, tuple)):
        return (each for held in cast("list[Any]", value) for each in _inside(held))
    return (value,) if attrs.has(type(value)) and not isinstance(value, Unreadable) else ()


@lru_cache(maxsize=256)
def _fields(cls: type) -> tuple[tuple[_Field, ...], Callable[[object], tuple[Any, ...]]]:
    """What is known of every field that a declaration gives; and how to read all of them."""
    found: list[_Field] = []
    for attribute in attrs.fields(cls):
        if not attribute.init or attribute.type is None:
            continue
        annotation = _read(attribute.type, sys.modules.get(cls.__module__))
        marks: tuple[Any, ...] = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
        is_sensitive = any(isinstance(mark, Sensitive) for mark in marks)
        plain = _plain(annotation)
        found.append((attribute.name, attribute.default, _test(annotation), annotation, is_sensitive, plain))
    names = [name for name, *_ in found]
    if len(names) > 1:
        return tuple(found), operator.attrgetter(*names)
    return tuple(found), lambda value: tuple(getattr(value, name) for name in names)


def _plain(annotation: Any) -> frozenset[type]:
    """The simple types whose values fit whatever they are, so that they need no test."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _plain(arguments[0])
    if origin in (Union, types.UnionType):
        return frozenset[type]().union(*map(_plain, arguments))
    return frozenset({annotation}) if annotation in (str, int, bool, types.NoneType) else frozenset()


class _ByName(type):
    """Stands for a class whose module cannot be asked for it: modules that name each other are not both loaded."""


class _Names(dict[str, Any]):
    """What names in an annotation mean in a module."""

    def __init__(self, module: object) -> None:
        super().__init__(vars(module) if module is not None else {})

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name) if hasattr(builtins, name) else _ByName(name, (), {})


def _read(annotation: Any, module: object) -> Any:
    """An annotation with the texts in it read; what cannot be read is `Any`."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        try:
            return _read(eval(annotation, {}, _Names(module)), module)
        except Exception:  # noqa: BLE001 - whatever a text raises, it is not an annotation that can be read here
            return Any
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[_read(arguments[0], module), *arguments[1:]]
    if origin in (Union, types.UnionType):
        return Union[tuple(_read(each, module) for each in arguments)]  # noqa: UP007 - of a tuple
    return annotation


def _test(annotation: Any) -> Test:
    """What a value must pass to be of a kind; everything passes where the annotation cannot be read."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return lambda value: True
    if isinstance(annotation, _ByName):
        name = annotation.__name__
        return lambda value: any(cls.__name__ == name for cls in type(value).__mro__)
    if origin is Annotated:
        return _test(arguments[0])
    if origin in (Union, types.UnionType):
        tests = [_test(each) for each in arguments]
        return lambda value: any(test(value) for test in tests)
    if origin is Literal:
        return lambda value: value in arguments
    if isinstance(origin, type):
        return _of_generic(origin, arguments)
    if annotation is None or annotation is types.NoneType:
        return lambda value: value is None
    if annotation is int:
        return lambda value: isinstance(value, Unreadable) or (isinstance(value, int) and not isinstance(value, bool))
    if annotation is float:
        return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(annotation, type):
        kinds = (annotation, Unreadable)
        return lambda value: isinstance(value, kinds)
    return lambda value: True


def _of_generic(origin: type, arguments: tuple[Any, ...]) -> Test:
    if issubclass(origin, Output):
        inner = _test(arguments[0] if arguments and not isinstance(arguments[0], TypeVar) else Any)

        def fits(value: Any) -> bool:
            if isinstance(value, ByStage):
                staged = cast("ByStage[Any]", value)
                choices = (staged.default, *staged.stages.values())
                return all(isinstance(each, (Output, Unreadable)) or inner(each) for each in choices)
            return isinstance(value, Output)

        return fits
    if issubclass(origin, Mapping) and len(arguments) == 2:
        key, held = _test(arguments[0]), _test(arguments[1])
        return lambda value: (
            isinstance(value, Mapping)
            and all(key(name) and held(each) for name, each in cast(Mapping[Any, Any], value).items())
        )
    if issubclass(origin, tuple) and len(arguments) == 2 and arguments[1] is ...:
        element = _test(arguments[0])
        return lambda value: isinstance(value, (tuple, list)) and all(map(element, cast("list[Any]", value)))
    return lambda value: isinstance(value, origin)


def words(annotation: Any) -> str:
    """What an annotation allows, for people."""
    parts = dict.fromkeys(_words(annotation))
    parts.pop("None", None)
    return " or ".join(parts) or "None"


def _words(annotation: Any) -> Iterator[str]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        yield "anything"
    elif origin is Annotated:
        yield from _words(arguments[0])
    elif origin in (Union, types.UnionType):
        for each in arguments:
            yield from _words(each)
    elif origin is Literal:
        yield from (repr(each) for each in arguments)
    elif isinstance(origin, type) and issubclass(origin, Output):
        return  # whoever can give the value itself can give one that is known later
    elif isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) == 2:
        yield f"a dict of {_many(arguments[0])} to {_many(arguments[1])}"
    elif isinstance(origin, type) and issubclass(origin, tuple) and arguments:
        yield f"a list of {_many(arguments[0])}"
    elif annotation in _WORDS:
        yield _WORDS[annotation]
    elif isinstance(annotation, type):
        yield _article(annotation.__name__)


def _many(annotation: Any) -> str:
    plurals = {"a text": "texts", "a whole number": "whole numbers", "a number": "numbers"}
    return " or ".join(plurals.get(word, word.partition(" ")[2] or word) for word in words(annotation).split(" or "))


def _article(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"


def _kind(value: object) -> str:
    return _WORDS.get(type(value), _article(type(value).__name__))


def described(value: object, *, hidden: bool = False) -> str:
    """What a value is, for people; the values in mappings and secret ones are not shown."""
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        held = dict.fromkeys(map(_kind, cast("list[object]", value)))
        return f"a {kind} with {', '.join(held)}" if held else f"an empty {kind}"
    if isinstance(value, Mapping):
        pairs = cast(Mapping[object, object], value).items()
        return "a dict with " + ", ".join(dict.fromkeys(f"{_kind(key)} to {_kind(each)}" for key, each in pairs))
    if hidden or not isinstance(value, (str, int, float)):
        return _kind(value)
    shown = repr(value)
    return f"{shown if len(shown) <= 60 else shown[:57] + '...'}, {_kind(value)}"


def _hint(allowed: str) -> str:
    if "Code" in allowed:
        return 'name the folder in Code("...") or PythonCode("...")'
    if "Trigger" in allowed:
        return (
            "say what of the resource triggers the function: queue.messages(), topic.notifications(), bucket.objects()"
        )
    if "Grant" in allowed:
        return "say what the code does with the resource: queue.send(), table.read()"
    return f"give {allowed}"
