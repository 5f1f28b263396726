"""Does a handler exist in the code? Told by reading the source; nothing is ever imported or run.

Pure: a package's file names and a way to read one of them come in, what is wrong goes out. Where the source does not
tell (a star import, a file that a bundler wrote, a layer), nothing is said.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

import attrs

from lambdaform.model.runtimes import Language

if TYPE_CHECKING:
    import ast

Read = Callable[[str], bytes | None]
"""What a file of the package holds; None when it cannot be read any more."""


@attrs.frozen(eq=False, repr=False)
class Missing:
    """Why a handler cannot be called."""

    rule: str
    what: str
    given: str | None = None
    hint: str | None = None
    file: str | None = None
    """The file in the package with the mistake, when it is in one."""
    line: int = 0
    allowed: str | None = None
    """What would do instead, when there are few of them."""


@attrs.frozen(eq=False, repr=False)
class Names:
    """What a Python module defines at its top."""

    all: frozenset[str]
    coroutines: frozenset[str]
    """Those that are nothing but a plain `async def`."""
    is_open: bool
    """Whether it may define more, by a star import or by filling its own namespace."""


def find_handler(
    language: Language, handler: str, files: Collection[str], read: Read, *, has_layers: bool, version: str = ""
) -> Missing | None:
    """What is wrong with a handler; None when it is there, or when the source cannot tell.

    `version` is the language's, as in `3.13`: a line that may be grammar of a newer Python than this is not judged.
    """
    match language:
        case Language.PYTHON:
            return _python(handler, files, read, has_layers, version)
        case Language.NODE:
            return _node(handler, files, read, has_layers)
        case Language.RUBY:
            return _ruby(handler, files, read, has_layers)
        case Language.JAVA:
            return None if has_layers else _java(handler, files, read)
        case Language.DOTNET:
            return None if has_layers else _dotnet(handler, files, read)
        case Language.CUSTOM:
            return None if has_layers or "bootstrap" in files else _no_bootstrap(files)


def _missing(what: str, handler: str, hint: str) -> Missing:
    return Missing("handler-missing", what, given=handler, hint=hint)


def _near(name: str, names: Iterable[str]) -> str | None:
    """The name that was most likely meant."""
    import difflib  # only mistakes need it

    return next(iter(difflib.get_close_matches(name, sorted(set(names)), n=1, cutoff=0.5)), None)


def _no_bootstrap(files: Collection[str]) -> Missing:
    near = sorted(path for path in files if path.rsplit("/", 1)[-1] == "bootstrap")
    return Missing(
        "handler-missing",
        "there is no bootstrap at the top of the package, which a custom runtime starts",
        given=f"bootstrap is in {near[0]}" if near else None,
        hint="put an executable called bootstrap at the top, or into a layer",
    )


# -- Python


def _python(handler: str, files: Collection[str], read: Read, has_layers: bool, version: str) -> Missing | None:
    module, _, name = handler.rpartition(".")
    if not module or not name:
        return None  # the form of a handler is another rule's business
    stem = module.replace(".", "/")
    # A package wins over a module of its name, as in the import system.
    path = next((each for each in (f"{stem}/__init__.py", f"{stem}.py") if each in files), None)
    if path is None:
        is_compiled = any(each.startswith(f"{stem}.") and each.endswith((".so", ".pyc")) for each in files)
        # It may be in a layer, or be written in C.
        return None if has_layers or is_compiled else _no_module(handler, module, name, files, read, version)
    content = read(path)
    names = None if content is None else _names(content, path, version)
    if names is None or isinstance(names, Missing):
        return names
    if name in names.coroutines:
        return Missing(
            "handler-async",
            f"{name} in {path} is async, and Lambda's Python runtime does not wait for coroutines",
            given=f"async def {name}",
            allowed="a plain function",
            hint="make it a plain function that calls asyncio.run(...)",
        )
    if name in names.all or names.is_open:
        return None
    near = _near(name, (each for each in names.all if not each.startswith("_")))
    hint = f"did you mean {module}.{near}?" if near else f"define {name} in {path}"
    return _missing(f"{path} has no {name}", handler, hint)


def _no_module(handler: str, module: str, name: str, files: Collection[str], read: Read, version: str) -> Missing:
    outer, _, inner = module.rpartition(".")
    path = outer.replace(".", "/") + ".py"
    if outer and path in files and (content := read(path)) is not None:
        names = _names(content, path, version)
        if isinstance(names, Names) and inner in names.all:
            hint = f"add a function at the top of {path} that calls {inner}.{name}, and name that"
            return _missing(f"{inner} is in the module {outer}, and Lambda calls no methods", handler, hint)
    modules = [
        each.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for each in files if each.endswith(".py")
    ]
    near = _near(module.replace("/", "."), modules)
    below = next((each for each in sorted(modules) if each.endswith("." + module.replace("/", "."))), None)
    found = below or near
    hint = f"did you mean {found}.{name}?" if found else f"put {module.replace('.', '/')}.py into the code folder"
    return _missing(f"the package has no module {module}", handler, hint)


_NEW_SYNTAX = re.compile(r"""\btype\s+\w|\b(def|class)\s+\w+\s*\[|[fFtT]["']|\bexcept\b|\blazy\s|\*\w.*\bfor\b""")
"""What a line looks like that uses grammar newer than Python 3.11: `type X = ...`, generics, f- and t-strings,
`except` without brackets, lazy imports, unpacking in comprehensions. A mistake in another line is one everywhere."""


def _names(content: bytes, path: str, version: str) -> Names | Missing | None:
    """What a module defines; None when a line may be grammar of a newer Python than the one that reads it."""
    import ast  # parsing is needed only where there is a Python handler
    import warnings

    wanted = tuple(int(part) for part in version.split(".")) if re.fullmatch(r"\d+\.\d+", version) else None
    is_newer = wanted is not None and wanted > sys.version_info[:2]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in strings: true, and not what was asked
            module = ast.parse(content, feature_version=None if wanted is None or is_newer else (wanted[0], wanted[1]))
    except SyntaxError as error:
        if is_newer and (error.text is None or _NEW_SYNTAX.search(error.text)):
            return None
        return _broken(path, version, str(error.msg), error.text, error.lineno)
    except ValueError as error:
        return _broken(path, version, str(error), None, 1)
    except RecursionError:
        return None
    return _bindings(module)


def _broken(path: str, version: str, why: str, text: str | None, line: int | None) -> Missing:
    return Missing(
        "handler-syntax",
        f"{path} is no valid Python{' ' + version if version else ''}: {why}",
        given=(text or "").strip() or None,
        hint="mend the line",
        file=path,
        line=line or 0,
    )


def _bindings(module: ast.Module) -> Names:
    import ast

    plain: set[str] = set()
    coroutines: set[str] = set()
    is_open = False
    todo: list[ast.AST] = list(module.body)
    while todo:
        node = todo.pop()
        match node:
            case ast.AsyncFunctionDef(name=name, decorator_list=[]):
                coroutines.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                plain.add(name)
                is_open = is_open or name == "__getattr__"
                plain.update(n for each in ast.walk(node) if isinstance(each, ast.Global) for n in each.names)
            case ast.ClassDef(name=name):
                plain.add(name)
            case ast.Import(names=aliases):
                plain.update(alias.asname or alias.name.split(".")[0] for alias in aliases)
            case ast.ImportFrom(names=aliases):
                is_open = is_open or any(alias.name == "*" for alias in aliases)
                plain.update(alias.asname or alias.name for alias in aliases)
            case ast.AnnAssign(value=None) | ast.Lambda():
                pass  # names without a value, or of a scope of their own
            case ast.Call(func=ast.Name(id="globals" | "vars" | "exec" | "setattr")):
                is_open = True
            case ast.Name(id=name, ctx=ast.Store()):
                plain.add(name)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                plain.add(name)
            case _:
                todo.extend(ast.iter_child_nodes(node))
    return Names(frozenset(plain | coroutines), frozenset(coroutines - plain), is_open)


# -- Node.js and Ruby


def _node(handler: str, files: Collection[str], read: Read, has_layers: bool) -> Missing | None:
    found = _file(handler, files, read, (".js", ".mjs", ".cjs"), has_layers, "index.handler")
    if not isinstance(found, tuple):
        return found
    path, text = found
    name = handler.rpartition("/")[2].split(".")[1]
    if re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", text):
        return None  # exported, or a word of the file: what it exports is known only when it runs
    if re.search(r"export\s*\*|__exportStar|__reExport|exports\s*=\s*[^{\s]|\.\.\.|exports\[|Object\.assign", text):
        return None
    exported = re.findall(
        r"\bexports\.([\w$]+)\s*=|\bexport\s+(?:async\s+)?(?:const|let|var|class|function\*?)\s+([\w$]+)", text
    )
    near = _near(name, (first or second for first, second in exported))
    stem = handler.removesuffix(handler.rpartition("/")[2].partition(".")[2])
    return _missing(
        f"{path} exports no {name}", handler, f"did you mean {stem}{near}?" if near else f"export {name} from {path}"
    )


def _ruby(handler: str, files: Collection[str], read: Read, has_layers: bool) -> Missing | None:
    found = _file(handler, files, read, (".rb",), has_layers, "app.handler")
    if not isinstance(found, tuple):
        return found
    path, text = found
    name = handler.rpartition(".")[2]
    methods = re.findall(r"\bdef\s+(?:\w+\.)?(\w+[?!]?)", text)
    if name in methods or re.search(
        r"\b(?:require_relative|load|autoload|define_(?:singleton_)?method|method_missing|alias\w*|extend|include"
        r"|attr_\w+|def_delegator\w*|\w*eval)\b",
        text,
    ):
        return None
    near = _near(name, methods)
    hint = f"did you mean {handler.rpartition('.')[0]}.{near}?" if near else f"define {name} in {path}"
    return _missing(f"{path} has no method {name}", handler, hint)


def _file(
    handler: str, files: Collection[str], read: Read, endings: tuple[str, ...], has_layers: bool, example: str
) -> Missing | tuple[str, str] | None:
    """The file of a handler and its text; what is wrong when there is none; None when that cannot be told."""
    folder, slash, last = handler.rpartition("/")
    stem = folder + slash + last.split(".")[0]
    path = next((stem + ending for ending in endings if stem + ending in files), None)
    if path is not None:
        content = read(path) if "." in last else None
        return None if content is None else (path, content.decode(errors="replace"))
    if has_layers or stem in files:
        return None
    if endings[0] == ".js" and (source := next((p for p in (stem + ".ts", stem + ".mts") if p in files), None)):
        return _missing(
            f"{source} is TypeScript, which Lambda does not run",
            handler,
            "compile it, and name the folder of the result",
        )
    stems = sorted({each.rsplit(".", 1)[0] for each in files if each.endswith(endings) and "node_modules/" not in each})
    near = next((each for each in stems if each.endswith("/" + stem)), None) or _near(stem, stems)
    rest = last.partition(".")[2]
    hint = f"did you mean {near}.{rest}?" if near else f"a handler looks like {example}"
    return _missing(f"the package has no file {stem}{endings[0]}", handler, hint)


# -- Java and .NET


def _java(handler: str, files: Collection[str], read: Read) -> Missing | None:
    name, _, method = handler.partition("::")
    wanted = name.replace(".", "/") + ".class"
    classes = {path for path in files if path.endswith(".class")}
    if wanted in classes:
        return None
    for jar in sorted(path for path in files if path.endswith(".jar")):
        found = _classes(read(jar))
        if found is None or wanted in found:
            return None
        classes |= found
    inner = name.replace(".", "/")
    nested = inner[::-1].replace("/", "$", 1)[::-1] + ".class"  # a class in a class has a $ in its file's name
    near = nested if nested in classes else _near(wanted, classes)
    meant = "" if near is None else near.removesuffix(".class").replace("/", ".") + (f"::{method}" if method else "")
    return _missing(
        f"the package has no class {name}",
        handler,
        f"did you mean {meant}?" if meant else "build it first, or correct the class",
    )


def _classes(jar: bytes | None) -> set[str] | None:
    """The class files in a jar; None when it cannot be read."""
    import io
    import zipfile

    if jar is None:
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(jar)) as archive:
            return {name for name in archive.namelist() if name.endswith(".class")}
    except (zipfile.BadZipFile, NotImplementedError):
        return None


def _dotnet(handler: str, files: Collection[str], read: Read) -> Missing | None:
    parts = handler.split("::")
    if len(parts) == 1 and handler in files:  # a program compiled ahead of time, or the assembly with its ending
        return None
    assembly = f"{parts[0]}.dll"
    if assembly not in files:
        near = _near(assembly, (path for path in files if path.endswith(".dll")))
        meant = "::".join([near.removesuffix(".dll"), *parts[1:]]) if near else ""
        return _missing(
            f"the package has no {assembly}",
            handler,
            f"did you mean {meant}?" if meant else "publish the project first",
        )
    content = read(assembly)
    if content is None or len(parts) != 3:
        return None
    # An assembly lists the names of its types as plain UTF-8; one that is nowhere in its bytes is no type of it.
    # https://learn.microsoft.com/en-us/dotnet/standard/metadata-and-self-describing-components
    simple = re.split(r"[.+]", parts[1])[-1]
    if simple.encode() in content:
        return None
    return _missing(
        f"{assembly} has no type {parts[1]}", handler, "correct the name of the class, or publish the project again"
    )
