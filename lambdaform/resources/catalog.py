"""Finds kinds of resources and their drivers by name: adding a module adds a kind."""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache
from typing import cast

import lambdaform.resources
from lambdaform.model.driver import Driver
from lambdaform.model.problem import LambdaformError
from lambdaform.model.resource import Resource


def module_of(kind: str) -> str:
    """The module that holds a kind: `sqs.queue` is in `lambdaform.resources.sqs_queue`."""
    return "lambdaform.resources." + kind.replace(".", "_")


@lru_cache(maxsize=256)
def driver_of(kind: str) -> Driver:
    """The driver of a kind. Raises `LambdaformError` for a kind this version does not know."""
    try:
        module = importlib.import_module(module_of(kind))
    except ModuleNotFoundError as error:
        raise LambdaformError(
            f"the state has a resource of the kind {kind}, which this version of lambdaform does not know",
            hint="use the version that deployed it, or a later one",
        ) from error
    return cast(Driver, module.DRIVER)


@lru_cache(maxsize=256)
def class_of(kind: str) -> type[Resource]:
    """The declaration class of a kind."""
    module = importlib.import_module(module_of(kind))
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Resource) and getattr(value, "kind", None) == kind:
            return value
    raise LookupError(f"{module.__name__} declares no resource of the kind {kind}")


def kinds() -> list[str]:
    """Every kind there is, sorted; imports all of them."""
    found: list[str] = []
    for info in pkgutil.iter_modules(lambdaform.resources.__path__):
        module = importlib.import_module(f"lambdaform.resources.{info.name}")
        if hasattr(module, "DRIVER"):
            found.extend(
                value.kind
                for value in vars(module).values()
                if isinstance(value, type)
                and issubclass(value, Resource)
                and value.__module__ == module.__name__
                and "kind" in vars(value)
            )
    return sorted(found)
