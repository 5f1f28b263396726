"""How functions of .NET are started: as AWS's managed runtime does, told from folders alone. Pure functions.

A handler that is the name of an assembly is a program of its own, or one that was compiled to machine code. One of the
form `Assembly::Namespace.Class::Method` is a library: AWS's runtime client loads it. The order in which files are
looked for and the statuses with which AWS's runtime ends without them are those of the script it starts with:
https://github.com/aws/aws-lambda-dotnet/blob/master/Libraries/src/Amazon.Lambda.RuntimeSupport/bootstrap-al2023.sh
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from lambdaform.local.lambda_.launching import HEAP, Launch

CLIENTS = ("Amazon.Lambda.RuntimeSupport.dll", "Amazon.Lambda.RuntimeSupport.TestTool.dll")
"""AWS's runtime client for .NET; in the second name it comes with AWS's test tool."""
MAIN_ASSEMBLY = "LAMBDA_DOTNET_MAIN_ASSEMBLY"
"""The variable that names the assembly whose .deps.json and .runtimeconfig.json are used."""
_LIMIT = "DOTNET_GCHeapHardLimit"


@attrs.frozen
class Host:
    """The program `dotnet` as a handler sees it."""

    program: str
    rolls_forward: bool
    """Whether it has only a newer version than the function's."""


@attrs.frozen
class NoHost:
    """There is an assembly to run, and no .NET to run it."""


@attrs.frozen
class NoClient:
    """There is a library to load, and AWS's runtime client is nowhere."""

    library: str | None = None
    """Where one was found that is a library itself, without a `Main`."""


def dotnet(
    host: Host | None,
    handler: str,
    *,
    memory: int,
    environment: Mapping[str, str],
    code: tuple[Path, str],
    clients: Sequence[tuple[Path, str]],
) -> Launch | NoHost | NoClient:
    """What a function of .NET starts with, or what is missing for it.

    `code` is the folder of the package and where the handler sees it; so are `clients`, the other folders that may
    hold AWS's runtime client, in the order in which they are searched.
    """
    folder, seen = code
    if ":" in handler:
        return _library(host, handler, memory=memory, environment=environment, code=code, clients=clients)
    name = handler if handler.endswith(".dll") else f"{handler}.dll"
    if (folder / name).is_file():
        if host is None:
            return NoHost()
        config = folder / f"{name.removesuffix('.dll')}.runtimeconfig.json"
        return _of(host, f"{seen}/{name}", variables=_heap(memory, environment, config))
    if (folder / handler).is_file():
        return Launch((f"{seen}/{handler}",), variables=_heap(memory, environment, None))
    return _ends(104, f"the package has no assembly {seen}/{name} and no program {seen}/{handler}")


def is_program(assembly: Path) -> bool:
    """Whether an assembly has a `Main`; one that cannot be read is left to .NET, which says what is wrong with it.

    A library's CLI header has no entry point: ECMA-335, II.25.3.3.
    """
    try:
        content = assembly.read_bytes()
        (signature,) = struct.unpack_from("<I", content, 0x3C)
        (sections, optional) = struct.unpack_from("<2xH12xH", content, signature + 4)
        start = signature + 24
        (magic,) = struct.unpack_from("<H", content, start)
        directories = start + (112 if magic == 0x20B else 96)
        (header, _) = struct.unpack_from("<II", content, directories + 14 * 8)
        for number in range(sections):
            size, address, raw_size, raw = struct.unpack_from("<IIII", content, start + optional + number * 40 + 8)
            if address <= header < address + max(size, raw_size):
                (token,) = struct.unpack_from("<I", content, header - address + raw + 20)
                return token != 0
    except (OSError, struct.error):
        pass
    return True


def _library(
    host: Host | None,
    handler: str,
    *,
    memory: int,
    environment: Mapping[str, str],
    code: tuple[Path, str],
    clients: Sequence[tuple[Path, str]],
) -> Launch | NoHost | NoClient:
    folder, seen = code
    name = (environment.get(MAIN_ASSEMBLY) or handler.partition(":")[0]).removesuffix(".dll")
    found: list[str] = []
    for ending, status in ((".deps.json", 105), (".runtimeconfig.json", 106)):
        file = _only(folder, f"{name}{ending}", ending)
        if file is None:
            return _ends(
                status, f"the package has no {name}{ending}, nor one other file of that kind: publish it first"
            )
        found.append(file)
    if host is None:
        return NoHost()
    library: str | None = None
    for place, shown in (*clients, code):
        for client in CLIENTS:
            if not (place / client).is_file():
                continue
            if is_program(place / client):
                deps, config = found
                arguments = ("--depsfile", f"{seen}/{deps}", "--runtimeconfig", f"{seen}/{config}")
                variables = _heap(memory, environment, folder / config)
                return _of(host, *arguments, f"{shown}/{client}", handler, variables=variables)
            library = library or f"{shown}/{client}"
    return NoClient(library)


def _only(folder: Path, name: str, ending: str) -> str | None:
    """A file of a folder by its name, else the only one with that ending."""
    if (folder / name).is_file():
        return name
    others = [path.name for path in folder.glob(f"*{ending}")]
    return others[0] if len(others) == 1 else None


def _of(host: Host, *arguments: str, variables: Mapping[str, str]) -> Launch:
    # A newer version is not taken by itself: https://learn.microsoft.com/en-us/dotnet/core/versions/selection
    newer = ("--roll-forward", "Major") if host.rolls_forward else ()
    root = {"DOTNET_ROOT": os.path.dirname(host.program)}  # noqa: PTH120 - as the handler sees it
    return Launch((host.program, "exec", *newer, *arguments), variables={**root, **variables})


def _heap(memory: int, environment: Mapping[str, str], config: Path | None) -> Mapping[str, str]:
    """A limit of the heap that goes with the function's memory, where the function or its package has not set one.

    .NET would take all memory of this machine for its own.
    https://learn.microsoft.com/en-us/dotnet/core/runtime-config/garbage-collector#heap-limit
    """
    text = config.read_text(errors="replace") if config is not None and config.is_file() else ""
    if "HeapHardLimit" in text or any("GCHeapHardLimit" in name for name in environment):
        return {}
    return {_LIMIT: hex(int(memory * HEAP * 1024 * 1024))}


def _ends(status: int, message: str) -> Launch:
    """A runtime that says what is wrong and ends, as AWS's does."""
    return Launch(("/bin/sh", "-c", f'echo "Error: $0" >&2; exit {status}', message))
