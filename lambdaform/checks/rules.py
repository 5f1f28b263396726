"""What a rule is, and running them all: every problem of a graph at once, the suppressed ones left out.

The flow: every rule finds what is wrong, `suppress` silences what may be silenced, what is left is placed on the line
of the keyword it is about and put in the order of the user's files.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from typing import TYPE_CHECKING

import attrs

from lambdaform.checks.places import place_of
from lambdaform.model.code import Package
from lambdaform.model.graph import Graph, Node
from lambdaform.model.problem import Problem, Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View

Finder = Callable[["View"], Iterable["Finding"]]

UPLOAD_LIMIT = 52_428_800
"""Bytes of the largest zip that Lambda takes in a request.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


def _unread(address: str, path: str) -> bytes | None:
    """Tells nothing."""
    return None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Facts:
    """What rules may know besides the graph. All of it is handed in, so the same facts give the same problems."""

    today: datetime.date
    packages: Mapping[str, Package] = attrs.field(factory=dict[str, Package])
    """Address to package, where one has been made."""
    account_concurrency: int = 1_000
    """The account's limit of concurrent executions; AWS's default when not known."""
    account: str | None = None
    """The account the stack says it is for."""
    regions: Collection[str] | None = None
    """The names of the regions AWS has; None where they are not known."""
    region_is_known: bool = True
    """Whether the graph's region is the user's choice; rules about regions wait while it is a stand-in."""
    upload_limit: int | None = None
    """Bytes of the largest zip that can be deployed, such as `UPLOAD_LIMIT`; None where a bucket takes larger ones."""
    read: Callable[[str, str], bytes | None] = _unread
    """A function's address and a path in its package to what the file holds; None where it cannot be told."""
    deployed: Container[str] = frozenset[str]()
    """Addresses that exist already, as far as state says: AWS goes on updating what it no longer creates."""


@attrs.frozen(eq=False, repr=False)
class Finding:
    """Something a rule found in one node."""

    node: Node | None
    """The node; None when it is about the stack itself."""
    what: str
    prop: str = ""
    given: str | None = None
    allowed: str | None = None
    hint: str | None = None
    severity: Severity | None = None
    """Where it differs from the rule's own."""
    link: str | None = None
    """Where it differs from the rule's own."""


@attrs.frozen(eq=False, repr=False)
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
    """Whether its errors can be suppressed as well: what AWS itself refuses cannot, what is only advice can."""
    of_stack: bool = False
    """Whether it is about the stack itself, where there is no resource to suppress it."""

    @property
    def suppressible(self) -> bool:
        """Whether `suppress` silences it; a resource's warnings and notes always can be."""
        return not self.of_stack and (self.advisory or self.severity is not Severity.ERROR)


def rule(
    id: str,
    severity: Severity,
    summary: str,
    *,
    link: str | None = None,
    advisory: bool = False,
    of_stack: bool = False,
) -> Callable[[Finder], Rule]:
    """Make a rule of the function that finds what breaks it; its module lists it in `RULES`."""

    def made(find: Finder) -> Rule:
        return Rule(id, severity, summary, find, link, advisory, of_stack)

    return made


def check(graph: Graph, facts: Facts) -> list[Problem]:
    """Every problem of a graph, in the order of the user's files."""
    from lambdaform.checks.catalog import all_rules
    from lambdaform.checks.view import View

    if not graph.nodes and graph.problems:
        return sorted(graph.problems, key=_order)  # what was declared cannot be read, so no rule can be asked
    view = View(graph, facts)
    problems = [*graph.problems, *_wrong_suppressions(view)]
    for each in all_rules():
        problems.extend(
            _problem(each, finding, view) for finding in each.find(view) if not _is_suppressed(each, finding, view)
        )
    unique = {(p.rule, p.address, p.what, p.given, p.where): p for p in problems}
    return sorted(unique.values(), key=_order)


def _order(problem: Problem) -> tuple[str, int, str, str]:
    where = problem.where
    return (where.file if where else "", where.line if where else 0, problem.address, problem.rule)


def _problem(rule: Rule, finding: Finding, view: View) -> Problem:
    node = finding.node
    hint = finding.hint
    if node is not None and not rule.suppressible and view.suppression(node, rule.id):
        refused = "AWS refuses this, so it cannot be suppressed"
        hint = f"{hint}; {refused}" if hint else refused
    return Problem(
        rule.id,
        finding.severity or rule.severity,
        (node.address if node is not None else "stack") + (f".{finding.prop}" if finding.prop else ""),
        place_of(view, node, finding.prop) if node is not None else None,
        finding.what,
        finding.given,
        finding.allowed,
        hint,
        finding.link or rule.link,
    )


def _is_suppressed(rule: Rule, finding: Finding, view: View) -> bool:
    return rule.suppressible and finding.node is not None and bool(view.suppression(finding.node, rule.id))


def _wrong_suppressions(view: View) -> Iterable[Problem]:
    """Entries of `suppress` that silence nothing: an unknown rule, or no reason."""
    from lambdaform.checks.catalog import known_ids

    for node in view.graph.nodes.values():
        for name, reason in node.resource.suppress.items():
            where = place_of(view, node, "suppress")
            address = f"{node.address}.suppress"
            if name not in known_ids():
                import difflib  # only mistakes need it

                near = difflib.get_close_matches(name, known_ids(), n=1)
                yield Problem(
                    "suppress-unknown",
                    Severity.ERROR,
                    address,
                    where,
                    "there is no rule of this name",
                    given=name,
                    hint=f"did you mean {near[0]}?" if near else "take it out; the docs list every rule",
                )
            elif not reason.strip():
                yield Problem(
                    "suppress-without-reason",
                    Severity.ERROR,
                    address,
                    where,
                    f"the rule {name} is suppressed without a reason",
                    given=repr(reason),
                    hint="say why, for whoever reads this next",
                )
