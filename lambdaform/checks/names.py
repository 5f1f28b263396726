"""Names in AWS: no two resources of one stack have the same; tags, regions, accounts and ARNs have their form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from lambdaform.checks.rules import Finding, rule
from lambdaform.model.driver import ADDRESS_TAG, STACK_TAG, STAGE_TAG
from lambdaform.model.graph import is_known
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

TAGS = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html"
REGIONS = "https://docs.aws.amazon.com/general/latest/gr/lambda-service.html"
ROLES = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html"
OWN_TAGS = frozenset({STACK_TAG, STAGE_TAG, ADDRESS_TAG})
MOST_TAGS = 50
# Names of these kinds are told apart within what the prop holds; all others within account and region.
WITHIN = {"iam.role_policy": "role", "events.rule": "bus", "lambda.alias": "function"}
# IAM takes names that differ only in case for the same.
ANY_CASE = ("iam.role",)
_REGION = r"[a-z]{2,3}(-[a-z]+)+-\d{1,2}"
_ROLE = r"arn:aws[a-zA-Z-]*:iam::\d{12}:role/[\w+=,.@/-]+"


@rule(
    "name-taken",
    Severity.ERROR,
    "No two resources of a stack have the same name in AWS.",
    link="https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html",
)
def taken(view: View) -> Iterable[Finding]:
    """Given names and names that lambdaform makes."""
    pairs: dict[str, tuple[Node, Node, str]] = {}
    for kind, nodes in view.kinds.items():
        within, any_case = WITHIN.get(kind), kind in ANY_CASE
        seen: dict[tuple[str, str], Node] = {}
        for node in nodes:
            name = node.props.get("name") if kind == "lambda.alias" else node.physical_name
            if not isinstance(name, str):
                continue
            place = repr(node.props.get(within)) if within is not None else ""
            earlier = seen.setdefault((place, name.lower() if any_case else name), node)
            if earlier is not node:
                pairs[node.address] = (node, earlier, name)
    for node, earlier, name in pairs.values():
        if node.parent in pairs or earlier.parent in pairs:
            continue  # follows from the names of what made them
        yield Finding(
            node,
            f"two {node.resource.title}s have the same name in AWS",
            "name",
            given=f"{name}, which is also the name of {earlier.address} at {earlier.resource.where}",
            hint="give one of them another name",
        )


@rule(
    "tags",
    Severity.ERROR,
    "Tags are at most 50 with lambdaform's own three, and keys and values have AWS's lengths.",
    link=TAGS,
)
def tags(view: View) -> Iterable[Finding]:
    """Keys of 1 to 128 characters that do not begin with aws:, values of up to 256."""
    for node in view.graph.nodes.values():
        given = node.props.get("tags")
        if not isinstance(given, dict):
            continue
        mapping = cast(dict[str, Any], given)
        own = OWN_TAGS if node.resource.taggable else frozenset[str]()
        if len(mapping) > MOST_TAGS - len(own) and len(own | mapping.keys()) > MOST_TAGS:
            yield Finding(
                node,
                "are too many",
                "tags",
                given=f"{len(mapping.keys() - own)} tags",
                allowed=f"at most {MOST_TAGS - len(own)}, besides lambdaform's own {len(own)}",
                hint="take some out",
            )
        yield from _forms(node, mapping)


def _forms(node: Node, mapping: Mapping[str, Any]) -> Iterable[Finding]:
    for key, value in mapping.items():
        if not 1 <= len(key) <= 128:
            yield Finding(
                node,
                "a tag's key is too long" if key else "a tag's key is empty",
                "tags",
                given=f"{len(key)} characters",
                allowed="1 to 128 characters",
                hint="shorten it" if key else "name it",
            )
        if key[:4].lower() == "aws:":
            yield Finding(node, "keys that begin with aws: are AWS's own", "tags", given=key, hint="use another prefix")
        if is_known(value) and isinstance(value, str) and len(value) > 256:
            yield Finding(
                node,
                f"the value of the tag {key} is too long",
                "tags",
                given=f"{len(value)} characters",
                allowed="0 to 256 characters",
                hint="shorten it",
            )


@rule("region-form", Severity.ERROR, "The stack's region has the form of a region.", link=REGIONS)
def region(view: View) -> Iterable[Finding]:
    """The form alone: AWS opens regions from time to time."""
    name = view.graph.region
    if re.fullmatch(_REGION, name) is None:
        zone = re.fullmatch(r"(.+-\d)[a-z]", name)
        yield Finding(
            None,
            "is not the name of a region",
            "region",
            given=repr(name),
            allowed="a name such as eu-central-1",
            hint=f"{name} is a zone; its region is {zone[1]}" if zone else "write the region's name, not its title",
        )


@rule("region-unknown", Severity.WARNING, "The stack's region is one that AWS has.", link=REGIONS, of_stack=True)
def region_unknown(view: View) -> Iterable[Finding]:
    """A warning: AWS may have opened it since our list was made."""
    name, known = view.graph.region, view.facts.regions
    if known is None or name in known or re.fullmatch(_REGION, name) is None:
        return
    import difflib  # only mistakes need it

    near = difflib.get_close_matches(name, sorted(known), n=1)
    newer = "if AWS has it, a newer botocore knows it"
    yield Finding(
        None,
        "is no region that the installed botocore knows",
        "region",
        given=repr(name),
        hint=f"did you mean {near[0]}? {newer[0].upper()}{newer[1:]}" if near else newer,
    )


@rule(
    "account-form",
    Severity.ERROR,
    "The stack's account is an id of 12 digits.",
    link="https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-identifiers.html",
)
def account(view: View) -> Iterable[Finding]:
    """As text, since an id may begin with 0."""
    given = view.facts.account
    if given is not None and re.fullmatch(r"\d{12}", given) is None:
        yield Finding(
            None,
            "is not the id of an account",
            "account",
            given=repr(given),
            allowed="12 digits",
            hint="write it as a text, with the zeros it begins with",
        )


@rule("role-arn", Severity.ERROR, "A function's role is a role, or the ARN of one.", link=ROLES)
def role(view: View) -> Iterable[Finding]:
    """Names of roles are not enough for AWS."""
    for node in view.functions:
        given = node.props.get("role")
        if isinstance(given, str) and re.fullmatch(_ROLE, given) is None:
            yield Finding(
                node,
                "is not the ARN of a role",
                "role",
                given=repr(given),
                allowed="arn:aws:iam::ACCOUNT:role/NAME",
                hint="write the whole ARN, or give a Role",
            )


@rule(
    "source-region",
    Severity.ERROR,
    "What triggers a function is in the function's region.",
    link="https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html",
)
def source_region(view: View) -> Iterable[Finding]:
    """Written ARNs alone: the resources of a stack are all in its region, and a bucket's ARN names none."""
    if not view.facts.region_is_known:
        return
    for kind, prop in (
        ("lambda.event_source_mapping", "source"),
        ("sns.subscription", "topic"),
        ("events.rule", "bus"),
    ):
        for node in view.of(kind):
            target = view.target(node.props.get(prop))
            if target is not None and target.region not in (None, view.graph.region):
                yield Finding(
                    node,
                    "is in another region than the function",
                    prop,
                    given=target.arn,
                    allowed=f"one in {view.graph.region}",
                    hint=f"move the stack to {target.region}, or use a source in {view.graph.region}",
                )


RULES = (taken, tags, region, region_unknown, account, role, source_region)
