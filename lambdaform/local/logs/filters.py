"""Filter patterns of CloudWatch Logs: which events a pattern matches. Pure functions.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html. Terms, quoted phrases, `?any`,
`-none`, `%regex%`, JSON patterns of comparisons joined by `&&` and `||`, and patterns of fields between spaces.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable

from lambdaform.local.ports import AwsFault, Json

Predicate = Callable[[str], bool]

_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|(%[^%]*%)|([^\s"]+))')
_COMPARISON = re.compile(
    r"""\s*(?P<negated>!?)\s*\$\.(?P<path>[\w.\[\]*-]+)\s*
        (?:(?P<test>IS\s+TRUE|IS\s+FALSE|IS\s+NULL|NOT\s+EXISTS)
          |(?P<operator>!=|>=|<=|=|>|<)\s*(?:"(?P<quoted>[^"]*)"|(?P<regex>%[^%]*%)|(?P<bare>[^\s&|(){}]+)))\s*""",
    re.VERBOSE,
)


def compile_pattern(pattern: str) -> Predicate:
    """The test a pattern stands for; an empty one matches everything. Raises `AwsFault` for one AWS would refuse."""
    text = pattern.strip()
    if not text:
        return lambda message: True
    if text.startswith("["):
        if not text.endswith("]"):
            raise _invalid()
        return _fields_pattern(text[1:-1])
    if text.startswith("{"):
        if not text.endswith("}"):
            raise _invalid()
        return _json_pattern(text[1:-1])
    return _terms(text)


def _terms(text: str) -> Predicate:
    wanted: list[Predicate] = []
    optional: list[Predicate] = []
    refused: list[Predicate] = []
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise _invalid()
        sign, quoted, regex, bare = match.groups()
        test = _searcher(regex[1:-1]) if regex else _contains(quoted if quoted is not None else bare)
        (optional if sign == "?" else refused if sign == "-" else wanted).append(test)
        position = match.end()

    def matches(message: str) -> bool:
        return (
            all(test(message) for test in wanted)
            # AWS ignores `?` terms beside plain ones.
            and (not optional or bool(wanted) or any(test(message) for test in optional))
            and not any(test(message) for test in refused)
        )

    return matches


def _contains(term: str) -> Predicate:
    return lambda message: term in message


def _searcher(expression: str) -> Predicate:
    try:
        regex = re.compile(expression)
    except re.error as error:
        raise _invalid() from error
    return lambda message: regex.search(message) is not None


# Fields between spaces: what stands in brackets or quotes is one field.
_FIELD = re.compile(r'\[([^\]]*)\]|"([^"]*)"|(\S+)')
_NAMED = re.compile(r"\s*([A-Za-z_]\w*)\s*")
_CONDITION = re.compile(
    r"""\s*(?P<name>[A-Za-z_]\w*)\s*(?P<operator>!=|>=|<=|=|>|<)\s*
        (?:"(?P<quoted>[^"]*)"|(?P<regex>%[^%]*%)|(?P<bare>[^\s&|,"]+))\s*(?P<joint>&&|\|\||$)""",
    re.VERBOSE,
)


def _fields_pattern(text: str) -> Predicate:
    """`[host, user, ..., status=4*]`: as many fields as named, with any number of others where the dots are."""
    parts = [part.strip() for part in text.split(",")]
    if parts.count("...") > 1 or not all(parts):
        raise _invalid()
    dots = parts.index("...") if "..." in parts else None
    before = [_field(part) for part in (parts if dots is None else parts[:dots])]
    after = [] if dots is None else [_field(part) for part in parts[dots + 1 :]]

    def matches(message: str) -> bool:
        values = [next(part for part in found if part or part == found[-1]) for found in _FIELD.findall(message)]
        count = len(before) + len(after)
        if len(values) < count or (dots is None and len(values) != count):
            return False
        ends = values[len(values) - len(after) :]
        return all(test(value) for test, value in zip((*before, *after), (*values[: len(before)], *ends), strict=True))

    return matches


def _field(text: str) -> Predicate:
    """A name, alone or with conditions on it: `status = 4*`, `size > 10 && size < 20`."""
    if _NAMED.fullmatch(text):
        return lambda value: True
    alternatives: list[list[Predicate]] = [[]]
    position = 0
    while True:
        match = _CONDITION.match(text, position)
        if match is None:
            raise _invalid()
        alternatives[-1].append(_condition(match))
        position = match.end()
        if not match["joint"]:
            break
        if match["joint"] == "||":
            alternatives.append([])
    return lambda value: any(all(test(value) for test in tests) for tests in alternatives)


def _condition(match: re.Match[str]) -> Predicate:
    operator, quoted, bare = match["operator"], match["quoted"], match["bare"]
    if match["regex"]:
        search = _searcher(match["regex"][1:-1])
        return lambda value: search(value) == (operator == "=")
    expected = quoted if quoted is not None else bare

    def test(value: str) -> bool:
        if bare is not None and "*" not in bare:
            with contextlib.suppress(ValueError):
                return _compared(operator, float(value), bare, is_number=True)
        return _compared(operator, value, expected, is_number=False)

    return test


JsonPredicate = Callable[[Json], bool]


def _json_pattern(text: str) -> Predicate:
    test, rest = _any_of(text)
    if rest.strip():
        raise _invalid()

    def matches(message: str) -> bool:
        try:
            document: Json = json.loads(message)
        except (ValueError, RecursionError):
            return False
        return test(document)

    return matches


def _any_of(text: str) -> tuple[JsonPredicate, str]:
    tests: list[JsonPredicate] = []
    rest = text
    while True:
        test, rest = _all_of(rest)
        tests.append(test)
        if not rest.lstrip().startswith("||"):
            return (lambda document: any(test(document) for test in tests)), rest
        rest = rest.lstrip()[2:]


def _all_of(text: str) -> tuple[JsonPredicate, str]:
    tests: list[JsonPredicate] = []
    rest = text
    while True:
        test, rest = _one(rest)
        tests.append(test)
        if not rest.lstrip().startswith("&&"):
            return (lambda document: all(test(document) for test in tests)), rest
        rest = rest.lstrip()[2:]


def _one(text: str) -> tuple[JsonPredicate, str]:
    stripped = text.lstrip()
    if stripped.startswith("("):
        test, rest = _any_of(stripped[1:])
        if not rest.lstrip().startswith(")"):
            raise _invalid()
        return test, rest.lstrip()[1:]
    match = _COMPARISON.match(text)
    if match is None:
        raise _invalid()
    return _comparison(match), text[match.end() :]


def _comparison(match: re.Match[str]) -> JsonPredicate:
    path = match["path"].split(".")
    test = match["test"]
    if test is not None:
        kind = re.sub(r"\s+", " ", test)

        def state(document: Json) -> bool:
            exists, value = _at(document, path)
            if kind == "NOT EXISTS":
                return not exists
            return exists and value is {"IS TRUE": True, "IS FALSE": False, "IS NULL": None}[kind]

        return state
    operator, bare = match["operator"], match["bare"]
    expected = match["quoted"] if match["quoted"] is not None else bare
    regex = re.compile(match["regex"][1:-1]) if match["regex"] else None

    def compare(document: Json) -> bool:
        exists, value = _at(document, path)
        if not exists:
            return False
        if regex is not None:
            return (regex.search(str(value)) is not None) == (operator == "=")
        return _compared(operator, value, expected, is_number=bare is not None)

    return compare


def _compared(operator: str, value: Json, expected: str, *, is_number: bool) -> bool:
    if is_number and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(expected)
        except ValueError:
            return operator == "!="
        match operator:
            case "=":
                return value == number
            case "!=":
                return value != number
            case ">":
                return value > number
            case ">=":
                return value >= number
            case "<":
                return value < number
            case _:
                return value <= number
    wildcard = re.compile(".*".join(re.escape(part) for part in expected.split("*")), re.DOTALL)
    is_equal = isinstance(value, str) and wildcard.fullmatch(value) is not None
    return is_equal if operator == "=" else not is_equal if operator == "!=" else False


def _at(document: Json, path: list[str]) -> tuple[bool, Json]:
    for part in path:
        name, _, index = part.partition("[")
        if name:
            if not isinstance(document, dict) or name not in document:
                return False, None
            document = document[name]  # pyright: ignore[reportUnknownVariableType] - JSON
        if index:
            number = index.rstrip("]")
            if not isinstance(document, list) or not number.isdigit() or int(number) >= len(document):  # pyright: ignore[reportUnknownArgumentType]
                return False, None
            document = document[int(number)]  # pyright: ignore[reportUnknownVariableType] - JSON
    return True, document  # pyright: ignore[reportUnknownVariableType] - JSON


def _invalid() -> AwsFault:
    return AwsFault("InvalidParameterException", "Invalid filter pattern")
