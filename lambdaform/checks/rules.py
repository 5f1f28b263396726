"""What a rule is, and running them all: every problem of a graph at once, the suppressed ones left out."""

from __future__ import annotations

import datetime
import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import attrs

import lambdaform.checks
from lambdaform.model.code import Package
from lambdaform.model.graph import Graph, Node
from lambdaform.model.problem import Problem, Severity
from lambdaform.model.source import line_of_argument

Finder = Callable[["Graph", "Facts"], Iterable["Finding"]]


@attrs.frozen
class Facts:
    """What rules may know besides the graph."""

    today: datetime.date
    packages: Mapping[str, Package] = attrs.field(factory=dict[str, Package])
    """Address to package, where one has been made."""
    account_concurrency: int = 1_000
    """The account's limit of concurrent executions; AWS's default when not known."""


@attrs.frozen
class Finding:
    """Something a rule found in one node."""

    node: Node
    what: str
    prop: str = ""
    given: str | None = None
    allowed: str | None = None
    hint: str | None = None
    severity: Severity | None = None
    """Where it differs from the rule's own."""
    link: str | None = None


@attrs.frozen
class Rule:
    """One rule: its id is what `suppress` and the docs call it."""

    id: str
    severity: Severity
    summary: str
    """One sentence, for the list of rules in the docs."""
    find: Finder
    link: str | None = None
    """The page of AWS that says so."""
    advisory: bool = False
    """Whether it can be suppressed: what AWS itself refuses cannot."""


@lru_cache(maxsize=1)
def all_rules() -> tuple[Rule, ...]:
    """Every rule there is: the `RULES` of each module of this package."""
    found: list[Rule] = []
    for info in pkgutil.iter_modules(lambdaform.checks.__path__):
        if info.name != "rules":
            module = importlib.import_module(f"lambdaform.checks.{info.name}")
            found.extend(getattr(module, "RULES", ()))
    return tuple(found)


def check(graph: Graph, facts: Facts) -> list[Problem]:
    """Every problem of a graph, in the order of the user's files."""
    problems = list(graph.problems)
    problems.extend(_wrong_suppressions(graph))
    for rule in all_rules():
        problems.extend(
            _problem(rule, finding) for finding in rule.find(graph, facts) if not _is_suppressed(rule, finding, graph)
        )
    unique = {(p.rule, p.address, p.what, p.where): p for p in problems}
    return sorted(unique.values(), key=_place)


def _place(problem: Problem) -> tuple[str, int, str, str]:
    where = problem.where
    return (where.file if where else "", where.line if where else 0, problem.address, problem.rule)


def _problem(rule: Rule, finding: Finding) -> Problem:
    resource = finding.node.resource
    where = resource.where
    if finding.prop:
        where = line_of_argument(where, finding.prop.partition(".")[0].partition("[")[0])
    return Problem(
        rule.id,
        finding.severity or rule.severity,
        finding.node.address + (f".{finding.prop}" if finding.prop else ""),
        where,
        finding.what,
        finding.given,
        finding.allowed,
        finding.hint,
        finding.link or rule.link,
    )


def _is_suppressed(rule: Rule, finding: Finding, graph: Graph) -> bool:
    severity = finding.severity or rule.severity
    if severity is Severity.ERROR and not rule.advisory:
        return False
    node: Node | None = finding.node
    while node is not None:
        if node.resource.suppress.get(rule.id, "").strip():
            return True
        node = graph.nodes.get(node.parent) if node.parent else None
    return False


def _wrong_suppressions(graph: Graph) -> Iterable[Problem]:
    known = {rule.id: rule for rule in all_rules()}
    for node in graph.nodes.values():
        for name, reason in node.resource.suppress.items():
            where = line_of_argument(node.resource.where, "suppress")
            address = f"{node.address}.suppress"
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else "take it out; the docs list every rule"
                yield Problem(
                    "suppress-unknown", Severity.ERROR, address, where, f"there is no rule {name!r}", hint=hint
                )
            elif not reason.strip():
                yield Problem(
                    "suppress-without-reason",
                    Severity.ERROR,
                    address,
                    where,
                    f"the rule {name} is suppressed without a reason",
                    hint="say why, for whoever reads this next",
                )
            elif known[name].severity is Severity.ERROR and not known[name].advisory:
                yield Problem(
                    "suppress-refused",
                    Severity.ERROR,
                    address,
                    where,
                    f"the rule {name} cannot be suppressed: AWS would refuse the deploy",
                    hint="mend what it names",
                )
