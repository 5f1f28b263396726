"""Does a handler exist in the code? Told by reading the source; nothing is ever imported or run.

Pure: a package's file names and a way to read one of them come in, what is wrong goes out. Where the source does not
tell (a star import, a compiled language's archive), nothing is said.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection

import attrs

from lambdaform.model.runtimes import Language

Read = Callable[[str], bytes | None]


@attrs.frozen
class Missing:
    """Why a handler cannot be called."""

    rule: str
    what: str
    given: str | None = None
    hint: str | None = None
    file: str | None = None
    """The file in the package with the mistake, when it is in one."""
    line: int = 0


@attrs.frozen
class Names:
    """What a Python module defines at its top."""

    all: frozenset[str]
    coroutines: frozenset[str]
    is_open: bool
    """Whether a star import may define more."""


def find_handler(
    language: Language, handler: str, files: Collection[str], read: Read, *, has_layers: bool
) -> Missing | None:
    """What is wrong with a handler; None when it is there, or when the source cannot tell."""
    match language:
        case Language.PYTHON:
            return _python(handler, files, read, has_layers)
        case Language.NODE:
            return _module(handler, files, (".js", ".mjs", ".cjs"), has_layers, "index.handler")
        case Language.RUBY:
            return _module(handler, files, (".rb",), has_layers, "app.handler")
        case Language.JAVA:
            return _java(handler, files, has_layers)
        case Language.DOTNET:
            return _dotnet(handler, files)
        case Language.CUSTOM:
            return None if has_layers or "bootstrap" in files else _no_bootstrap(files)


def _no_bootstrap(files: Collection[str]) -> Missing:
    near = [path for path in files if path.rsplit("/", 1)[-1] == "bootstrap"]
    return Missing(
        "handler-missing",
        "there is no bootstrap at the top of the package, which a custom runtime starts",
        given=f"bootstrap is in {near[0]}" if near else None,
        hint="put an executable called bootstrap at the top, or into a layer",
    )


def _python(handler: str, files: Collection[str], read: Read, has_layers: bool) -> Missing | None:
    module, _, name = handler.rpartition(".")
    if not module or not name:
        return None  # the form of a handler is another rule's business
    stem = module.replace(".", "/")
    path = next((each for each in (f"{stem}.py", f"{stem}/__init__.py") if each in files), None)
    if path is None:
        if has_layers:
            return None  # it may be in a layer
        modules = [
            each.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            for each in files
            if each.endswith(".py")
        ]
        near = difflib.get_close_matches(module, modules, n=1, cutoff=0.5)
        return Missing(
            "handler-missing",
            f"the package has no module {module}",
            given=handler,
            hint=f"did you mean {near[0]}.{name}?" if near else f"put {stem}.py into the code folder",
        )
    content = read(path)
    if content is None:
        return None
    names = _names(content, path)
    if isinstance(names, Missing):
        return names
    if name in names.coroutines:
        return Missing(
            "handler-async",
            f"{name} in {path} is async, and Lambda's Python runtime does not wait for coroutines",
            given=f"async def {name}",
            hint="make it a plain function that calls asyncio.run(...)",
        )
    if name in names.all or names.is_open:
        return None
    near = difflib.get_close_matches(name, names.all, n=1, cutoff=0.5)
    return Missing(
        "handler-missing",
        f"{path} has no {name}",
        given=handler,
        hint=f"did you mean {module}.{near[0]}?" if near else f"define {name} in {path}",
    )


def _names(content: bytes, path: str) -> Names | Missing:
    import ast  # parsing is needed only where there is a Python handler

    try:
        module = ast.parse(content)
    except SyntaxError as error:
        text = (error.text or "").strip()
        return Missing(
            "handler-syntax",
            f"{path} is no valid Python: {error.msg}",
            given=text or None,
            hint="mend the line",
            file=path,
            line=error.lineno or 0,
        )
    except ValueError as error:
        return Missing("handler-syntax", f"{path} is no valid Python: {error}", file=path, line=1)
    found: set[str] = set()
    coroutines: set[str] = set()
    is_open = False
    todo: list[ast.stmt] = list(module.body)
    while todo:
        statement = todo.pop()
        match statement:
            case ast.AsyncFunctionDef(name=name):
                found.add(name)
                if not statement.decorator_list:
                    coroutines.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Import(names=aliases):
                found.update((alias.asname or alias.name).split(".")[0] for alias in aliases)
            case ast.ImportFrom(names=aliases):
                is_open = is_open or any(alias.name == "*" for alias in aliases)
                found.update(alias.asname or alias.name for alias in aliases)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                found.update(node.id for node in ast.walk(statement) if isinstance(node, ast.Name))
            case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
                for node in ast.iter_child_nodes(statement):
                    if isinstance(node, ast.stmt):
                        todo.append(node)
                    elif isinstance(node, ast.ExceptHandler):
                        todo.extend(node.body)
            case _:
                pass
    return Names(frozenset(found), frozenset(coroutines), is_open)


def _module(
    handler: str, files: Collection[str], endings: tuple[str, ...], has_layers: bool, example: str
) -> Missing | None:
    """Node.js and Ruby: the file must be there; what it exports is known only when it runs."""
    folder, _, last = handler.rpartition("/")
    stem = (folder + "/" if folder else "") + last.split(".")[0]
    if has_layers or any(stem + ending in files for ending in endings):
        return None
    stems = sorted({each.rsplit(".", 1)[0] for each in files if each.endswith(endings)})
    near = difflib.get_close_matches(stem, stems, n=1, cutoff=0.5)
    return Missing(
        "handler-missing",
        f"the package has no file {stem}{endings[0]}",
        given=handler,
        hint=f"did you mean {near[0]}.{handler.rpartition('.')[2]}?" if near else f"a handler looks like {example}",
    )


def _java(handler: str, files: Collection[str], has_layers: bool) -> Missing | None:
    name = re.split(r"::", handler)[0].replace(".", "/") + ".class"
    has_libraries = any(path.endswith(".jar") for path in files)
    if has_layers or has_libraries or name in files:
        return None  # a class in a library's jar is not looked for
    return Missing(
        "handler-missing", f"the package has no {name}", given=handler, hint="build it first, or correct the class"
    )


def _dotnet(handler: str, files: Collection[str]) -> Missing | None:
    assembly = handler.split("::")[0] + ".dll"
    if assembly in files:
        return None
    near = difflib.get_close_matches(assembly, [path for path in files if path.endswith(".dll")], n=1, cutoff=0.5)
    return Missing(
        "handler-missing",
        f"the package has no {assembly}",
        given=handler,
        hint=f"did you mean {near[0].removesuffix('.dll')}?" if near else "publish the project first",
    )
