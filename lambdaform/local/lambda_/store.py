"""The control plane's memory: frozen values under their keys, one per local AWS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import attrs

from lambdaform.local.lambda_.values import Function, Layer, SigningConfig, SourceMapping

Key = tuple[str, str, str]
"""Account, Region, name."""


@attrs.frozen
class Snapshot:
    """Everything a store holds at one moment."""

    functions: dict[Key, Function]
    layers: dict[Key, Layer]
    mappings: dict[str, SourceMapping]
    signing: dict[str, SigningConfig]


class Store:
    """What exists. Values are replaced, never changed."""

    def __init__(self) -> None:
        self.functions: dict[Key, Function] = {}
        self.layers: dict[Key, Layer] = {}
        self.mappings: dict[str, SourceMapping] = {}
        """By UUID."""
        self.signing: dict[str, SigningConfig] = {}
        """By ARN."""
        self._reserved: Counter[tuple[str, str]] = Counter()
        self._provisioned: Counter[tuple[str, str]] = Counter()
        """Of functions that reserve nothing."""

    def put(self, function: Function) -> Function:
        """Keep a function's new value."""
        key = (function.account, function.region, function.name)
        self._reserve(self.functions.get(key), -1)
        self.functions[key] = function
        self._reserve(function, 1)
        return function

    def remove(self, key: Key) -> None:
        """Forget a function."""
        self._reserve(self.functions.pop(key), -1)

    def reserved(self, account: str, region: str) -> int:
        """The concurrency that functions of an account reserve in a Region; asked on every invocation."""
        return self._reserved[(account, region)]

    def claimed(self, account: str, region: str) -> int:
        """The concurrency no function may use but those it is set aside for; asked on every invocation."""
        where = (account, region)
        return self._reserved.get(where, 0) + self._provisioned.get(where, 0)

    def change(self, key: Key, change: Callable[[Function], Function]) -> None:
        """Replace a function that may have gone in the meantime."""
        function = self.functions.get(key)
        if function is not None:
            self.put(change(function))

    def put_layer(self, layer: Layer) -> Layer:
        """Keep a layer's new value."""
        self.layers[(layer.account, layer.region, layer.name)] = layer
        return layer

    def functions_in(self, account: str, region: str) -> Iterator[Function]:
        """All functions of an account in a Region, by name."""
        for key in sorted(self.functions):
            if key[:2] == (account, region):
                yield self.functions[key]

    def archives(self) -> set[str]:
        """The keys of all code that a function or layer has."""
        functions = [
            each for function in self.functions.values() for each in (function.latest, *function.versions.values())
        ]
        layers = [
            each for layer in self.layers.values() for each in (*layer.versions.values(), *layer.deleted.values())
        ]
        return {each.code.key for each in (*functions, *layers) if each.code.key is not None}

    def checkpoint(self) -> Snapshot:
        """What `restore` goes back to."""
        return Snapshot(dict(self.functions), dict(self.layers), dict(self.mappings), dict(self.signing))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a checkpoint."""
        self.functions = dict(snapshot.functions)
        self._reserved.clear()
        self._provisioned.clear()
        for function in self.functions.values():
            self._reserve(function, 1)
        self.layers = dict(snapshot.layers)
        self.mappings = dict(snapshot.mappings)
        self.signing = dict(snapshot.signing)

    def _reserve(self, function: Function | None, sign: int) -> None:
        if function is None:
            return
        region = (function.account, function.region)
        if function.reserved_concurrency is not None:
            self._reserved[region] += sign * function.reserved_concurrency
        elif function.provisioned:
            self._provisioned[region] += sign * sum(each.requested for each in function.provisioned.values())
