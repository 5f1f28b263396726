"""Handlers told from source: found, missing, nearly right, broken, or not to be told."""

import pytest

from lambdaform.checks.handler_code import find_handler
from lambdaform.model.runtimes import Language

FILES = {
    "app.py": b"""
import helper
from other import thing as renamed
def handler(e, c): ...
async def later(e, c): ...
alias = handler
if True:
    def guarded(e, c): ...
try:
    import fast
except ImportError:
    fast = None
""",
    "open.py": b"from framework import *\n",
    "broken.py": b"x = 1\ndef handler(e, c)\n    pass\n",
    "pkg/__init__.py": b"def handler(e, c): ...\n",
    "pkg/worker.py": b"class Worker: ...\nhandler = Worker()\n",
}


@pytest.mark.parametrize(
    "handler",
    [
        "app.handler",
        "app.alias",
        "app.renamed",
        "app.guarded",
        "app.fast",
        "open.anything",
        "pkg.handler",
        "pkg.worker.handler",
        "pkg/worker.handler",
        "pkg/worker.Worker",
    ],
)
def test_a_python_handler_that_is_there_is_found(handler: str) -> None:
    assert find_handler(Language.PYTHON, handler, FILES, FILES.get, has_layers=False) is None


@pytest.mark.parametrize(
    ("handler", "rule", "hint"),
    [
        ("app.handle", "handler-missing", "did you mean app.handler?"),
        ("ap.handler", "handler-missing", "did you mean app.handler?"),
        ("pkg.work.handler", "handler-missing", "did you mean pkg.worker.handler?"),
        ("app.later", "handler-async", "make it a plain function that calls asyncio.run(...)"),
    ],
)
def test_a_python_handler_that_is_not_there_gets_the_nearest_name(handler: str, rule: str, hint: str) -> None:
    missing = find_handler(Language.PYTHON, handler, FILES, FILES.get, has_layers=False)

    assert missing is not None
    assert (missing.rule, missing.hint) == (rule, hint)


def test_a_syntax_error_is_told_with_its_line() -> None:
    missing = find_handler(Language.PYTHON, "broken.handler", FILES, FILES.get, has_layers=False)

    assert missing is not None
    assert (missing.rule, missing.file, missing.line) == ("handler-syntax", "broken.py", 2)


def test_a_module_that_may_be_in_a_layer_is_not_judged() -> None:
    assert find_handler(Language.PYTHON, "layered.handler", FILES, FILES.get, has_layers=True) is None


@pytest.mark.parametrize(
    ("language", "handler", "files", "is_there"),
    [
        (Language.NODE, "index.handler", {"index.mjs"}, True),
        (Language.NODE, "src/index.handler", {"src/index.js"}, True),
        (Language.NODE, "index.handler", {"main.js"}, False),
        (Language.RUBY, "app.handler", {"app.rb"}, True),
        (Language.RUBY, "app.Shop::Worker.process", {"app.rb"}, True),
        (Language.RUBY, "app.handler", {"main.rb"}, False),
        (Language.JAVA, "com.example.Worker::handle", {"com/example/Worker.class"}, True),
        (Language.JAVA, "com.example.Worker::handle", {"com/example/Other.class"}, False),
        (Language.JAVA, "com.example.Worker", {"lib/worker.jar"}, True),
        (Language.DOTNET, "Shop::Shop.Worker::Handle", {"Shop.dll"}, True),
        (Language.DOTNET, "Shop::Shop.Worker::Handle", {"Shap.dll"}, False),
        (Language.CUSTOM, "anything", {"bootstrap"}, True),
        (Language.CUSTOM, "anything", {"bin/bootstrap"}, False),
    ],
)
def test_other_languages_are_told_by_their_files(
    language: Language, handler: str, files: set[str], is_there: bool
) -> None:
    missing = find_handler(language, handler, files, lambda _: None, has_layers=False)

    assert (missing is None) == is_there
