"""Handlers told from source: found, missing, nearly right, broken, or not to be told."""

import io
import zipfile

import pytest

from lambdaform.checks.handler_code import Missing, find_handler
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
        (Language.DOTNET, "bootstrap", {"bootstrap"}, True),
        (Language.DOTNET, "Shop", {"Shap.dll"}, False),
        (Language.CUSTOM, "anything", {"bootstrap"}, True),
        (Language.CUSTOM, "anything", {"bin/bootstrap"}, False),
    ],
)
def test_other_languages_are_told_by_their_files(
    language: Language, handler: str, files: set[str], is_there: bool
) -> None:
    missing = find_handler(language, handler, files, lambda _: None, has_layers=False)

    assert (missing is None) == is_there


# -- what a Python module defines


def look(source: str, name: str = "handler", *, version: str = "3.11") -> Missing | None:
    return find_handler(
        Language.PYTHON, f"m.{name}", {"m.py"}, lambda _: source.encode(), has_layers=False, version=version
    )


@pytest.mark.parametrize(
    "source",
    [
        "(other, handler) = make()",
        "[handler, *rest] = make()",
        "first = handler = make()",
        "handler: object = make()",
        "with make() as handler: pass",
        "for handler in makers: pass",
        "match make():\n    case handler: pass",
        "print(handler := make())",
        "try:\n    pass\nfinally:\n    def handler(e, c): ...",
        "if x:\n    pass\nelse:\n    class handler: ...",
        "import a.b as handler",
        "import handler.b",
        "def fill():\n    global handler\n    handler = 1",
        "def __getattr__(name): ...",
        "globals().update(make())",
        "@wrap\nasync def handler(e, c): ...",
        "async def handler(e, c): ...\nhandler = run(handler)",
    ],
)
def test_every_way_to_give_a_module_a_name_counts(source: str) -> None:
    assert look(source) is None


@pytest.mark.parametrize(
    "source",
    [
        "x = handler",
        "f = lambda handler: handler",
        "def outer():\n    def handler(e, c): ...",
        "class Worker:\n    def handler(self, e, c): ...",
        "handler: object",
        "def other(handler): ...",
    ],
)
def test_a_name_that_is_only_used_or_lies_deeper_does_not_count(source: str) -> None:
    missing = look(source)

    assert missing is not None
    assert missing.rule == "handler-missing"


def test_a_method_is_no_handler() -> None:
    missing = find_handler(
        Language.PYTHON, "m.Worker.handle", {"m.py"}, lambda _: b"class Worker: ...", has_layers=False
    )

    assert missing is not None
    assert missing.what == "Worker is in the module m, and Lambda calls no methods"


def test_a_module_in_another_folder_is_the_one_that_was_meant() -> None:
    missing = find_handler(Language.PYTHON, "app.handler", {"src/app.py"}, lambda _: b"", has_layers=False)

    assert missing is not None
    assert missing.hint == "did you mean src.app.handler?"


def test_a_package_wins_over_a_module_of_its_name() -> None:
    files = {"m.py": b"", "m/__init__.py": b"def handler(e, c): ..."}

    assert find_handler(Language.PYTHON, "m.handler", files, files.get, has_layers=False) is None


def test_a_module_in_c_is_not_judged() -> None:
    files = {"m.cpython-313-x86_64-linux-gnu.so"}

    assert find_handler(Language.PYTHON, "m.handler", files, lambda _: None, has_layers=False) is None


@pytest.mark.parametrize(
    "line",
    [
        "type Some[thing = new]",
        "lazy import thing as new soon",
        "x = [*new for new in thing if]",
        "except A, B, of new:",
    ],
)
def test_a_line_that_may_be_grammar_of_a_newer_python_is_not_judged(line: str) -> None:
    source = f"def handler(e, c): ...\n{line}"

    assert look(source, version="3.99") is None
    assert look(source, version="3.11") is not None


def test_a_mistake_in_every_python_is_told_whatever_python_reads_it() -> None:
    missing = look("def handler(e, c)\n    pass", version="3.99")

    assert missing is not None
    assert missing.rule == "handler-syntax"


def test_grammar_that_the_functions_python_lacks_is_told() -> None:
    missing = look("match 1:\n    case 1: pass", version="3.9")

    assert missing is not None
    assert missing.what.startswith("m.py is no valid Python 3.9:")


@pytest.mark.parametrize("source", ["handler = '\\d'", "\ufeffhandler = 1", "# coding: latin-1\nhandler = 1"])
def test_warnings_marks_and_encodings_do_not_get_in_the_way(source: str) -> None:
    assert look(source) is None


def test_bytes_that_are_no_text_are_told() -> None:
    missing = look("handler = 1\0")

    assert missing is not None
    assert missing.rule == "handler-syntax"


# -- what other languages' files tell


@pytest.mark.parametrize(
    "source",
    [
        "exports.handler = async () => {}",
        "module.exports = { handler }",
        "export const handler = 1",
        "export { run as handler }",
        "export * from './app'",
        "module.exports = require('./app')",
        "module.exports = { ...app }",
        "__exportStar(require('./app'), exports)",
    ],
)
def test_a_node_export_that_is_there_or_may_be_is_not_told(source: str) -> None:
    assert (
        find_handler(Language.NODE, "index.handler", {"index.js"}, lambda _: source.encode(), has_layers=False) is None
    )


@pytest.mark.parametrize("source", ["exports.handlers = 1", "export async function handlers() {}"])
def test_a_node_export_that_is_not_there_gets_the_nearest_name(source: str) -> None:
    missing = find_handler(
        Language.NODE, "src/index.handler", {"src/index.mjs"}, lambda _: source.encode(), has_layers=False
    )

    assert missing is not None
    assert missing.what == "src/index.mjs exports no handler"
    assert missing.hint == "did you mean src/index.handlers?"


def test_typescript_is_to_be_compiled_first() -> None:
    missing = find_handler(Language.NODE, "index.handler", {"index.ts"}, lambda _: None, has_layers=False)

    assert missing is not None
    assert missing.what == "index.ts is TypeScript, which Lambda does not run"


@pytest.mark.parametrize(
    ("source", "is_there"),
    [
        ("def process(event:, context:)\nend", True),
        ("class Worker\n  def self.process(event:, context:)\n  end\nend", True),
        ("require_relative 'app'", True),
        ("require 'json'\ndef proces(event:, context:)\nend", False),
    ],
)
def test_a_ruby_method_is_looked_for_in_its_file(source: str, is_there: bool) -> None:
    missing = find_handler(Language.RUBY, "app.process", {"app.rb"}, lambda _: source.encode(), has_layers=False)

    assert (missing is None) == is_there
    assert missing is None or missing.hint == "did you mean app.proces?"


def jar(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return content.getvalue()


@pytest.mark.parametrize(
    ("handler", "hint"),
    [
        ("com.example.Worker::handle", None),
        ("com.example.Worker", None),
        ("com.example.Wroker::handle", "did you mean com.example.Worker::handle?"),
        ("com.example.Worker.Inner::handle", "did you mean com.example.Worker$Inner::handle?"),
    ],
)
def test_a_java_class_is_looked_for_in_the_jars_of_lib(handler: str, hint: str | None) -> None:
    files = {"lib/app.jar": jar("com/example/Worker.class", "com/example/Worker$Inner.class"), "lib/other.jar": jar()}
    missing = find_handler(Language.JAVA, handler, files, files.get, has_layers=False)

    assert (missing.hint if missing else None) == hint


def test_a_jar_that_cannot_be_read_is_not_judged() -> None:
    assert find_handler(Language.JAVA, "a.B::c", {"lib/x.jar"}, lambda _: b"broken", has_layers=False) is None


@pytest.mark.parametrize(
    ("handler", "is_there"), [("Shop::Shop.Worker::Handle", True), ("Shop::Shop.Reporter::Handle", False)]
)
def test_a_dotnet_type_is_looked_for_in_its_assembly(handler: str, is_there: bool) -> None:
    files = {"Shop.dll": b"MZ\0Shop\0Worker\0Handle\0"}
    missing = find_handler(Language.DOTNET, handler, files, files.get, has_layers=False)

    assert (missing is None) == is_there


@pytest.mark.parametrize("language", list(Language))
def test_with_layers_what_is_not_in_the_package_may_be_in_them(language: Language) -> None:
    handler = {Language.JAVA: "a.B::c", Language.DOTNET: "A::A.B::C"}.get(language, "a.b")

    assert find_handler(language, handler, set(), lambda _: None, has_layers=True) is None
