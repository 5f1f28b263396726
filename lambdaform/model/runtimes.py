"""Lambda's runtimes: what each is called, its language, its handler's form, and when AWS stops taking it.

Dates are AWS's table as published in November 2026 and move from time to time; `DATED` says when ours was read.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping

import attrs

DATED = datetime.date(2026, 11, 20)
PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html"
DEFAULT = "python3.13"
"""The runtime of a function that names none."""


class Language(enum.Enum):
    """What a runtime runs, and so what form its handlers have."""

    PYTHON = "Python"
    NODE = "Node.js"
    JAVA = "Java"
    DOTNET = ".NET"
    RUBY = "Ruby"
    CUSTOM = "custom"


HANDLER_FORM: Mapping[Language, tuple[str, str, str]] = {
    Language.PYTHON: (
        r"[^\s.]+(\.[^\s.]+)*\.[A-Za-z_]\w*",
        "module.function, with dots or slashes between packages",
        "orders.worker.handler",
    ),
    Language.NODE: (r"[^\s]+\.[A-Za-z_$][\w$]*", "file.export, the file without its ending", "src/index.handler"),
    Language.RUBY: (
        r"[^\s.]+\.([A-Z]\w*(::[A-Z]\w*)*\.)?[a-z_]\w*[?!]?",
        "file.method or file.Module::Class.method",
        "app.handler",
    ),
    Language.JAVA: (
        r"[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)*(::[A-Za-z_$][\w$]*)?",
        "package.Class::method, or package.Class for one that implements RequestHandler",
        "com.example.Worker::handle",
    ),
    Language.DOTNET: (
        r"[\w.\-]+(::[\w.+`]+::\w+)?",
        "Assembly::Namespace.Class::Method, or Assembly alone for an executable one",
        "Orders::Orders.Worker::Handle",
    ),
    Language.CUSTOM: (r"\S+", "any text without spaces; your bootstrap reads it from _HANDLER", "bootstrap"),
}
"""Language to (regular expression, form in words, an example)."""

HANDLER_PAGE: Mapping[Language, str] = {
    language: f"https://docs.aws.amazon.com/lambda/latest/dg/{page}.html"
    for language, page in (
        (Language.PYTHON, "python-handler"),
        (Language.NODE, "nodejs-handler"),
        (Language.RUBY, "ruby-handler"),
        (Language.JAVA, "java-handler"),
        (Language.DOTNET, "csharp-handler"),
        (Language.CUSTOM, "runtimes-custom"),
    )
}
"""Language to AWS's page of its handlers."""


@attrs.frozen(eq=False, repr=False)
class Runtime:
    """One runtime identifier."""

    name: str
    language: Language
    amazon_linux: int
    """1, 2 or 2023."""
    deprecated: datetime.date | None = None
    """No more security updates from then on; None when AWS has published no date."""
    create_blocked: datetime.date | None = None
    """New functions are refused from then on."""
    update_blocked: datetime.date | None = None
    """Changes are refused from then on."""
    snap_start: bool = False

    @property
    def version(self) -> str:
        """The language's version: `3.13` of `python3.13`."""
        return "".join(
            c
            for c in self.name.removesuffix(".x").removesuffix(".al2023").removesuffix(".al2")
            if c.isdigit() or c == "."
        )


def _day(text: str) -> datetime.date | None:
    return datetime.date.fromisoformat(text) if text else None


def _table() -> dict[str, Runtime]:
    rows = [
        ("nodejs26.x", Language.NODE, 2023, "", "", "", False),
        ("nodejs24.x", Language.NODE, 2023, "2028-04-30", "2028-06-01", "2028-07-01", False),
        ("nodejs22.x", Language.NODE, 2023, "2027-04-30", "2027-06-01", "2027-07-01", False),
        ("nodejs20.x", Language.NODE, 2023, "2026-04-30", "2026-06-01", "2026-07-01", False),
        ("nodejs18.x", Language.NODE, 2, "2025-09-01", "2026-06-01", "2026-07-01", False),
        ("nodejs16.x", Language.NODE, 2, "2024-06-12", "2026-06-01", "2026-07-01", False),
        ("nodejs14.x", Language.NODE, 2, "2023-12-04", "2024-01-09", "2026-07-01", False),
        ("python3.15", Language.PYTHON, 2023, "", "", "", True),
        ("python3.14", Language.PYTHON, 2023, "2029-06-30", "2029-07-31", "2029-08-31", True),
        ("python3.13", Language.PYTHON, 2023, "2029-06-30", "2029-07-31", "2029-08-31", True),
        ("python3.12", Language.PYTHON, 2023, "2028-10-31", "2028-11-30", "2029-01-10", True),
        ("python3.11", Language.PYTHON, 2, "2026-06-30", "2026-07-31", "2026-08-31", False),
        ("python3.10", Language.PYTHON, 2, "2026-06-30", "2026-07-31", "2026-08-31", False),
        ("python3.9", Language.PYTHON, 2, "2025-12-15", "2026-06-01", "2026-07-01", False),
        ("python3.8", Language.PYTHON, 2, "2024-10-14", "2026-06-01", "2026-07-01", False),
        ("python3.7", Language.PYTHON, 1, "2023-12-04", "2024-01-09", "2026-03-09", False),
        ("java25", Language.JAVA, 2023, "2029-06-30", "2029-07-31", "2029-08-31", True),
        ("java21", Language.JAVA, 2023, "2029-06-30", "2029-07-31", "2029-08-31", True),
        ("java17.al2023", Language.JAVA, 2023, "", "", "", True),
        ("java11.al2023", Language.JAVA, 2023, "", "", "", True),
        ("java8.al2023", Language.JAVA, 2023, "", "", "", False),
        ("java17", Language.JAVA, 2, "2026-06-30", "2026-07-31", "2026-08-31", True),
        ("java11", Language.JAVA, 2, "2026-06-30", "2026-07-31", "2026-08-31", True),
        ("java8.al2", Language.JAVA, 2, "2026-06-30", "2026-07-31", "2026-08-31", False),
        ("java8", Language.JAVA, 1, "2024-01-08", "2024-02-08", "2026-07-01", False),
        ("dotnet10", Language.DOTNET, 2023, "2028-11-14", "", "", True),
        ("dotnet8", Language.DOTNET, 2023, "2026-11-10", "2026-12-10", "2027-01-11", True),
        ("dotnet6", Language.DOTNET, 2, "2024-12-20", "2026-06-01", "2026-07-01", False),
        ("ruby4.0", Language.RUBY, 2023, "", "", "", False),
        ("ruby3.4", Language.RUBY, 2023, "2028-03-31", "2028-04-30", "2028-05-31", False),
        ("ruby3.3", Language.RUBY, 2023, "2027-03-31", "2027-04-30", "2027-05-31", False),
        ("ruby3.2", Language.RUBY, 2, "2026-03-31", "2026-06-01", "2026-07-01", False),
        ("ruby2.7", Language.RUBY, 2, "2023-12-07", "2024-01-09", "2026-07-01", False),
        ("provided.al2023", Language.CUSTOM, 2023, "2029-06-30", "2029-07-31", "2029-08-31", False),
        ("provided.al2", Language.CUSTOM, 2, "2026-06-30", "2026-07-31", "2026-08-31", False),
        ("provided", Language.CUSTOM, 1, "2024-01-08", "2024-02-08", "2026-07-01", False),
        ("go1.x", Language.CUSTOM, 1, "2024-01-08", "2024-02-08", "2026-07-01", False),
    ]  # fmt: skip
    return {
        name: Runtime(name, language, linux, _day(deprecated), _day(create), _day(update), snap)
        for name, language, linux, deprecated, create, update, snap in rows
    }


RUNTIMES: Mapping[str, Runtime] = _table()
"""Every runtime identifier AWS has had since 2023, by name."""

ENDED = frozenset(
    {"nodejs", "nodejs4.3", "nodejs4.3-edge", "nodejs6.10", "nodejs8.10", "nodejs10.x", "nodejs12.x", "python2.7"}
    | {"python3.6", "ruby2.5", "dotnetcore1.0", "dotnetcore2.0", "dotnetcore2.1", "dotnetcore3.1", "dotnet5.0"}
    | {"dotnet7"}
)
"""Identifiers that AWS took out before 2023, or that only container images had."""


def current(on: datetime.date) -> list[str]:
    """The runtimes AWS takes for new functions on a day."""
    return [r.name for r in RUNTIMES.values() if r.create_blocked is None or r.create_blocked > on]
