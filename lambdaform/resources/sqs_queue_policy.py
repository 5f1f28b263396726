"""Statements of a queue's policy: which topic, rule or bucket may send to it.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-creating-custom-policies.html
"""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import Length, Pattern, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Resource
from lambdaform.model.units import items
from lambdaform.resources.shared_document import Turns, entry_id

POLICY = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-creating-custom-policies.html"


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class QueuePermission(Resource):
    """Lets a service send to a queue: one statement of the queue's policy, whose other statements stay as they are."""

    kind: ClassVar[str] = "sqs.queue_policy"
    title: ClassVar[str] = "queue permission"
    reference: ClassVar[str] = "statement_id"
    replacement: ClassVar[str] = "delete first"

    queue: Annotated[Input[str] | Resource, Replaces("a statement belongs to one queue")]
    """The queue, or its ARN."""
    principal: Input[str]
    """A service (`sns.amazonaws.com`), the ARN of a role or user, an account id, or `*`."""
    actions: Annotated[tuple[str, ...], Length(1, 7, "actions", POLICY)] = attrs.field(
        default=("sqs:SendMessage",), converter=items
    )
    """What it may do."""
    source_arn: Input[str] | Resource | None = None
    """Services only: the resource they must act for."""
    source_account: Annotated[Input[str] | None, Pattern(r"\d{12}", "an account id of 12 digits", POLICY)] = None
    """Services only: the account they must act for."""

    statement_id = output(str, "The id of the statement in the queue's policy.")


class QueuePermissionDriver:
    """Writes one statement into a queue's policy and takes it out again."""

    # A statement with our id is overwritten.
    exists = ()

    def __init__(self) -> None:
        self._turns = Turns()

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """SetQueueAttributes with the policy that was there and this statement."""
        sid, arn = entry_id(desired), desired.props["queue"]
        statement = _statement(desired, sid)
        self._write(aws, arn, lambda others: [*others, statement], sid)
        return {"statement_id": sid}

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """The same again: the statement is found by its id."""
        return self.create(aws, desired)

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The statement with the same id, which is made from stack, stage and address."""
        sid = entry_id(desired)
        return Found({"statement_id": sid}, None) if self._has(aws, desired.props["queue"], sid) else None

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its id while it stands in the queue's policy."""
        there = self._has(aws, record.props["queue"], record.outputs["statement_id"])
        return record.outputs if there else None

    def delete(self, aws: Aws, record: Record) -> None:
        """SetQueueAttributes with the policy without this statement."""
        try:
            self._write(aws, record.props["queue"], lambda others: others, record.outputs["statement_id"])
        except AwsError as error:
            if not is_missing(error):
                raise

    def _has(self, aws: Aws, arn: str, sid: str) -> bool:
        try:
            return any(each.get("Sid") == sid for each in _policy(aws, _url(aws, arn)).get("Statement", []))
        except AwsError as error:
            if is_missing(error):
                return False
            raise

    def _write(self, aws: Aws, arn: str, change: Callable[[list[Any]], list[Any]], sid: str) -> None:
        with self._turns.of(arn):
            url = _url(aws, arn)
            policy = _policy(aws, url)
            before: list[Any] = policy.get("Statement", [])
            wanted = change([each for each in before if each.get("Sid") != sid])
            if wanted == before:
                return
            document = {"Version": "2012-10-17", **policy, "Statement": wanted}
            text = json.dumps(document) if wanted else ""
            aws.call("sqs", "SetQueueAttributes", QueueUrl=url, Attributes={"Policy": text})

            def visible() -> bool | None:
                return True if _seen(_policy(aws, url).get("Statement", [])) == _seen(wanted) else None

            # Queue attributes take a while to be seen; the next writer must not start from the policy before this.
            aws.wait_for(f"the policy of {arn} to be seen", visible)


def _seen(statements: list[Any]) -> list[Any]:
    # AWS writes principals in a form of its own; ids and conditions come back as they were.
    return [(each.get("Sid"), each.get("Condition")) for each in statements]


def _statement(desired: Desired, sid: str) -> dict[str, Any]:
    principal = desired.props["principal"]
    statement: dict[str, Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": principal
        if principal == "*"
        else {"Service" if principal.endswith((".amazonaws.com", ".amazonaws.com.cn")) else "AWS": principal},
        "Action": desired.get("actions", ["sqs:SendMessage"]),
        "Resource": desired.props["queue"],
    }
    conditions: dict[str, Any] = {}
    if desired.get("source_arn"):
        conditions["ArnEquals"] = {"aws:SourceArn": desired.props["source_arn"]}
    if desired.get("source_account"):
        conditions["StringEquals"] = {"aws:SourceAccount": desired.props["source_account"]}
    if conditions:
        statement["Condition"] = conditions
    return statement


def _url(aws: Aws, arn: str) -> str:
    account, name = arn.split(":")[4:6]
    return str(aws.call("sqs", "GetQueueUrl", QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"])


def _policy(aws: Aws, url: str) -> dict[str, Any]:
    answer = aws.call("sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=["Policy"])
    text = answer.get("Attributes", {}).get("Policy")
    document: dict[str, Any] = json.loads(text) if text else {}
    return document


DRIVER = QueuePermissionDriver()
