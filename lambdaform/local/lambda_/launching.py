"""How the process of a runtime is started: forked from the prepared parent, or as a program of its own. Pure functions.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html. Programs are found beforehand; what is missing is
said in words a user can act on.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from lambdaform.local.lambda_.interpreters import Interpreter

PYTHON, NODE, RUBY, JAVA, DOTNET, CUSTOM = "python", "nodejs", "ruby", "java", "dotnet", "provided"
JAVA_CLIENT = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"
"""The main class of AWS's runtime client for Java."""
HEAP = 0.85
"""The share of a function's memory that the heap of Java or .NET gets; ours, as AWS does not publish its own."""


@attrs.frozen
class Launch:
    """What is started."""

    arguments: tuple[str, ...] = ()
    """The program and its arguments; nothing for a fork of the prepared parent."""
    flaw: str | None = None
    """Why there is nothing to start, in the words of `Runtime.InvalidEntrypoint`."""
    variables: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Environment variables that go with it."""


def language_of(runtime: str) -> str | None:
    """The language of a runtime that can be run here; None for the others."""
    return next(
        (language for language in (PYTHON, NODE, RUBY, JAVA, DOTNET, CUSTOM) if runtime.startswith(language)), None
    )


def of_python(runtime: str, *, own: str, found: Mapping[str, Interpreter]) -> Interpreter | None:
    """The interpreter to start for a Python runtime; None for the prepared parent's own.

    That is also the one for a version that is not installed: the nearest is the one at hand.
    """
    return None if runtime == own else found.get(runtime.removeprefix(PYTHON))


def wrapped(launch: Launch, wrapper: str | None, *, python: tuple[str, ...]) -> Launch:
    """A launch by way of the program that `AWS_LAMBDA_EXEC_WRAPPER` names, which gets the command as its arguments.

    `python` is the command of a runtime that is otherwise forked. Custom runtimes have no wrapper.
    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html
    """
    return launch if not wrapper else attrs.evolve(launch, arguments=(wrapper, *(launch.arguments or python)))


def extensions(layers: Path | None) -> tuple[str, ...]:
    """The names of the external extensions that layers bring: every file right in `extensions`, by name.

    One that cannot be executed is one too: it fails when it is started.
    https://docs.aws.amazon.com/lambda/latest/dg/lambda-extensions.html
    """
    folder = layers / "extensions" if layers is not None else None
    if folder is None or not folder.is_dir():
        return ()
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_file()))


def bootstrap(task: str, opt: str, code: Path, layers: Path | None) -> Launch:
    """The program of a custom runtime: in the package, else in a layer. The first two are what the handler sees."""
    seen = [f"{task}/bootstrap", f"{opt}/bootstrap"]
    for place, folder in zip(seen, (code, layers), strict=True):
        path = folder / "bootstrap" if folder is not None else None
        if path is None or not path.is_file():
            continue
        if not os.access(path, os.X_OK) or not path.stat().st_mode & 0o111:
            return Launch(flaw=f"fork/exec {place}: permission denied")
        return Launch((place,))
    return Launch(flaw=f"Couldn't find valid bootstrap(s): [{' '.join(seen)}]")


def java(
    program: str,
    handler: str,
    *,
    memory: int,
    options: str,
    has_fast_start: bool,
    seen: tuple[str, str, str],
    code: Path,
    layers: Path | None,
    client: Path | None,
) -> Launch | None:
    """AWS's runtime client for Java with a function's classes; None where the client is nowhere to be found.

    `seen` is where the handler sees code, layers and runtime; `client` the folder the user has named for the client,
    which is in the package or a layer otherwise. What `options` (JAVA_TOOL_OPTIONS) say is left to them.
    https://docs.aws.amazon.com/lambda/latest/dg/java-customization.html
    """
    task, opt, runtime = seen
    places = [(code / "lib", f"{task}/lib")]
    if layers is not None:
        places.append((layers / "java" / "lib", f"{opt}/java/lib"))
    path = [f"{task}/", *(archive for folder, place in places for archive in _jars(folder, place))]
    if client is not None and _has_client(archives=[client]):
        path = [*_jars(client, f"{runtime}/lib"), *path]
    elif not _has_client(classes=code, archives=[folder for folder, _ in places]):
        return None
    flags: list[str] = []
    if "Xmx" not in options and "MaxHeapSize" not in options and "MaxRAM" not in options:
        flags.append(f"-XX:MaxHeapSize={int(memory * HEAP)}m")
    if "GC" not in options:
        flags.append("-XX:+UseSerialGC")
    if has_fast_start and "Tiered" not in options:
        flags += ["-XX:+TieredCompilation", "-XX:TieredStopAtLevel=1"]
    return Launch((program, *flags, "-cp", os.pathsep.join(path), JAVA_CLIENT, handler))


def _jars(folder: Path, seen: str) -> Iterator[str]:
    """The archives of a folder as the handler sees them, in the order in which AWS's runtime takes them."""
    for archive in sorted(folder.glob("*.jar")):
        yield f"{seen}/{archive.name}"


def _has_client(*, classes: Path | None = None, archives: Sequence[Path]) -> bool:
    """Whether AWS's runtime client is among the classes of a folder, or in the archives of others."""
    file = f"{JAVA_CLIENT.replace('.', '/')}.class"
    if classes is not None and (classes / file).is_file():
        return True
    for archive in (each for folder in archives for each in folder.glob("*.jar")):
        try:
            with zipfile.ZipFile(archive) as opened:
                if file in opened.namelist():
                    return True
        except (OSError, zipfile.BadZipFile):  # Java says what is wrong with it
            continue
    return False
