"""Reference pages made from the code; `python docs/make.py` writes them.

Nothing on them is typed twice: fields and limits come from the marks, sentences from the docstrings, rules from the
checks, commands from click, differences from the local AWS's own list.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, cast

import attrs
import click

import lambdaform.resources
import lambdaform.triggers
from lambdaform.model.marks import Field, Range, fields_of
from lambdaform.model.output import OutputField, Unreadable
from lambdaform.model.resource import Resource
from lambdaform.render.tiles import duration

NOTE = "<!-- Made from the code by `python docs/make.py`: change it there. -->\n"


@lru_cache(maxsize=512)
def _body(cls: type) -> list[ast.stmt]:
    """The statements of a class, read from its source."""
    tree = ast.parse(inspect.cleandoc(inspect.getsource(cls)))
    return cast(ast.ClassDef, tree.body[0]).body


@lru_cache(maxsize=64)
def field_docs(cls: type) -> Mapping[str, str]:
    """The sentence under each field of a class, its parents' included, read from the source."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if not attrs.has(each):
            continue
        body = _body(each)
        for statement, following in itertools.pairwise(body):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            ):
                found[statement.target.id] = " ".join(following.value.value.split())
    return found


@lru_cache(maxsize=64)
def field_types(cls: type) -> Mapping[str, str]:
    """The type of each field as it is written, without its marks: `int`, `DeadLetter | None`."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if attrs.has(each):
            for statement in _body(each):
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    found[statement.target.id] = ast.unparse(_Plain().visit(statement.annotation))
    return found


class _Plain(ast.NodeTransformer):
    """Takes marks and `Input` off a type: every setting takes outputs, so saying it in each row says nothing."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """`Annotated[X, ...]` and `Input[X]` are X."""
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        if name == "Annotated" and isinstance(node.slice, ast.Tuple):
            return cast(ast.AST, self.visit(node.slice.elts[0]))
        if name == "Input":
            return cast(ast.AST, self.visit(node.slice))
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """A type in quotes is the type."""
        if isinstance(node.value, str) and node.value.strip():
            return cast(ast.AST, self.visit(ast.parse(node.value, mode="eval").body))
        return node


def _type(name: str, field: Field, cls: type) -> str:
    written = field_types(cls).get(name, "")
    units = {limit.unit for limit in field.limits if isinstance(limit, Range)}
    if units & {"s", "MB"}:
        return "time" if "s" in units else "size"
    return f"`{written.removesuffix(' | None')}`" if written else ""


def _default(field: Field) -> str:
    value = field.default
    if value is attrs.NOTHING:
        return "needed"
    if value is None or value in ((), {}, "") or isinstance(value, Unreadable):
        return ""
    if isinstance(value, int) and any(isinstance(limit, Range) and limit.unit == "s" for limit in field.limits):
        return f"`{duration(value)}`"
    return f"`{value}`"


def _limits(field: Field) -> str:
    parts = [limit.words() for limit in field.limits]
    if field.replaces:
        parts.append("a change replaces it")
    return "; ".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _fields(cls: type) -> Iterator[str]:
    docs = field_docs(cls)
    if not fields_of(cls):
        return
    yield "| setting | type | default | allowed | |\n|---|---|---|---|---|"
    for name, field in fields_of(cls).items():
        row = (f"`{name}`", _type(name, field, cls), _default(field), _limits(field), docs.get(name, ""))
        yield "| " + " | ".join(_cell(part) for part in row) + " |"


def _outputs(cls: type) -> Iterator[str]:
    for each in cls.__mro__:
        for name, value in vars(each).items():
            if isinstance(value, OutputField):
                yield f"- `{name}`: {cast(OutputField[Any], value).doc}"


def _methods(cls: type) -> Iterator[str]:
    for name, value in vars(cls).items():
        plain: Any = cast(Any, value).__func__ if isinstance(value, classmethod) else value
        if name.startswith("_") or not inspect.isfunction(plain) or name in ("expand", "outputs_of_arn"):
            continue
        doc = (inspect.getdoc(plain) or "").split("\n\n")[0]
        yield f"- `{name}{_signature(plain)}`: {' '.join(doc.split())}"


def _signature(function: Any) -> str:
    names: list[str] = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        default = "" if parameter.default is inspect.Parameter.empty else f"={parameter.default!r}"
        names.append(parameter.name + default)
    return f"({', '.join(names)})"


def resources_page() -> str:
    """Every kind of resource."""
    from lambdaform.resources.catalog import class_of, kinds

    lines = [
        NOTE,
        "# Resources\n",
        "A time is seconds, a text such as `5 min`, or a `timedelta`; a size is megabytes or a text such as `2 GB`.",
        "Settings take outputs of other resources and `by_stage(...)` as well.\n",
    ]
    for kind in kinds():
        cls: type[Resource] = class_of(kind)
        doc = inspect.getdoc(cls) or ""
        lines += [f"## {cls.__name__}\n", f"`{kind}`. {doc}\n", *_fields(cls), ""]
        for heading, found in (("Outputs", list(_outputs(cls))), ("Methods", list(_methods(cls)))):
            if found:
                lines += [f"{heading}:\n", *found, ""]
    return "\n".join(lines)


def values_page() -> str:
    """Everything a declaration is made of besides resources: triggers, code, and the values that settings take."""
    from lambdaform.model.code import Code, PythonCode
    from lambdaform.model.output import by_stage, text
    from lambdaform.model.secret import Parameter, Secret

    lines = [NOTE, "# Triggers, code and values\n"]
    lines.append("Triggers that read a resource are its methods: see [resources](resources.md).\n")
    for title, classes in (
        ("Triggers", _public(lambdaform.triggers)),
        ("Code", [Code, PythonCode]),
        ("Values of settings", _public(lambdaform.resources)),
        ("Secrets and parameters", [Secret, Parameter]),
    ):
        lines.append(f"## {title}\n")
        for cls in classes:
            lines += [f"### {cls.__name__}\n", f"{inspect.getdoc(cls) or ''}\n", *_fields(cls), ""]
    lines.append("## Functions\n")
    for function in (by_stage, text):
        lines.append(f"- `{function.__name__}`: {' '.join((inspect.getdoc(function) or '').split())}")
    return "\n".join(lines) + "\n"


def _public(package: ModuleType) -> Iterator[type]:
    """Value classes and triggers of a package that people write themselves: each of their fields has a sentence."""
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for cls in vars(module).values():
            if not (isinstance(cls, type) and cls.__module__ == module.__name__ and attrs.has(cls)):
                continue
            fields = fields_of(cls)
            if not issubclass(cls, Resource) and fields and fields.keys() <= field_docs(cls).keys():
                yield cls


def rules_page() -> str:
    """Every rule that a declaration is checked against."""
    from lambdaform.checks.catalog import listing

    lines = [NOTE, "# Rules\n"]
    lines.append(
        'Warnings, notes and advice are silenced with `suppress={"rule-id": "reason"}` on the resource; what AWS'
    )
    lines += ["refuses is not.\n", "| rule | | what holds | can be suppressed |\n|---|---|---|---|"]
    for entry in listing():
        name = f"[{entry.id}]({entry.link})" if entry.link else entry.id
        lines.append(f"| {name} | {entry.severity} | {_cell(entry.summary)} | {'yes' if entry.suppressible else ''} |")
    return "\n".join(lines) + "\n"


def commands_page(group: click.Group, exit_codes: str, alone: Sequence[click.Command] = ()) -> str:
    """Every command of a stack's program with its options; `alone` are those of `lambdaform`, which need no stack."""
    names = ["-h", "--help"]
    context = click.Context(
        group, info_name="python stacks/app.py", terminal_width=100, color=False, help_option_names=names
    )
    outer = click.Context(click.Group("lambdaform"), info_name="lambdaform", help_option_names=names)
    lines = [NOTE, "# Command line\n"]
    for command in alone:
        name = str(command.name)
        text = command.get_help(click.Context(command, info_name=name, parent=outer, terminal_width=100))
        lines += [f"## lambdaform {name}\n", "```text", text, "```\n"]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        text = command.get_help(click.Context(command, info_name=name, parent=context, terminal_width=100))
        lines += [f"## {name}\n", "```text", text, "```\n"]
    lines += ["## Exit codes\n", "```text", exit_codes.replace("\b\n", "").strip(), "```", ""]
    return "\n".join(lines)


def _differences(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The literal `Difference(setting, says)` of a module; the varying parts of texts stay as they are written."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Difference" and len(node.args) == 2:
            texts = [_text_of(argument) for argument in node.args]
            if all(texts):
                yield texts[0], texts[1]
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:
            pair = [each.value for each in node.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            if len(pair) == 2 and " " in pair[1]:
                yield pair[0], pair[1]


def _text_of(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text_of(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def differences_section() -> str:
    """What the local AWS accepts without effect, as `local` says it: the end of the page on fidelity."""
    from lambdaform.local import differences
    from lambdaform.local.lambda_ import fidelity

    lines = ["## Settings accepted without effect\n"]
    lines.append("`local` says which of these the stack at hand meets;")
    lines.append("`GET /_lambdaform/fidelity` answers the same as JSON.\n")
    for title, module in (("Functions", fidelity), ("Queues, topics, buses, schedules, mappings", differences)):
        lines += [f"### {title}\n", "| setting or behaviour | here |\n|---|---|"]
        lines += [f"| {_cell(setting)} | {_cell(says)} |" for setting, says in _differences(module)]
        lines.append("")
    return "\n".join(lines)
