"""The operations of EventBridge."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from lambdaform.local import patterns
from lambdaform.local.clock import Ids
from lambdaform.local.delivery import Delivery, service_of
from lambdaform.local.events.rules import Buses, check_pattern, invalid, iso_seconds, missing
from lambdaform.local.events.sending import DELIVERED, detail_of, event_size
from lambdaform.local.events.transform import check_target
from lambdaform.local.events.values import Bus, Rule
from lambdaform.local.operations import Answer, answer, page
from lambdaform.local.pollers.sources import seconds
from lambdaform.local.ports import AwsFault, Call, Clock

MAX_TARGETS = 5
"""Targets of one rule, by default quota."""

MAX_BYTES = 1_048_576
"""Bytes of all entries of one PutEvents."""

_PAGE = 100


class EventBridge(Buses):
    """Amazon EventBridge. One per local AWS."""

    name = "events"

    def __init__(self, *, clock: Clock, ids: Ids, delivery: Delivery) -> None:
        super().__init__(clock=clock, ids=ids, delivery=delivery)
        self._operations = {
            "CreateEventBus": self._create_event_bus,
            "DeleteEventBus": self._delete_event_bus,
            "DeleteRule": self._delete_rule,
            "DescribeEventBus": self._describe_event_bus,
            "DescribeRule": self._describe_rule,
            "DisableRule": self._disable_rule,
            "EnableRule": self._enable_rule,
            "ListEventBuses": self._list_event_buses,
            "ListRuleNamesByTarget": self._list_rule_names_by_target,
            "ListRules": self._list_rules,
            "ListTagsForResource": self._list_tags,
            "ListTargetsByRule": self._list_targets_by_rule,
            "PutEvents": self._put_events,
            "PutPermission": self._put_permission,
            "PutRule": self._put_rule,
            "PutTargets": self._put_targets,
            "RemovePermission": self._remove_permission,
            "RemoveTargets": self._remove_targets,
            "TagResource": self._tag,
            "TestEventPattern": self._test_event_pattern,
            "UntagResource": self._untag,
            "UpdateEventBus": self._update_event_bus,
        }

    async def handle(self, call: Call) -> Answer:
        """Answer one call; raises `AwsFault`."""
        return await answer(self._operations, call)

    # Buses

    def _create_event_bus(self, call: Call) -> Answer:
        name = str(call.params["Name"])
        if "/" in name:
            raise invalid("Event bus name must not contain '/'.")
        bus = Bus(
            name=name,
            arn=f"arn:aws:events:{call.region}:{call.account}:event-bus/{name}",
            created=self._clock.now(),
            description=call.params.get("Description"),
            settings=_bus_settings(call.params),
            tags={tag["Key"]: tag["Value"] for tag in call.params.get("Tags") or ()},
        )
        self.add_bus(bus)
        return {"EventBusArn": bus.arn, **_described(bus)}

    def _update_event_bus(self, call: Call) -> Answer:
        bus = self.bus(call, call.params.get("Name"))
        bus.description = call.params.get("Description", bus.description)
        bus.settings.update(_bus_settings(call.params))
        return {"Arn": bus.arn, "Name": bus.name, **_described(bus)}

    def _delete_event_bus(self, call: Call) -> Answer:
        self.drop_bus(call, str(call.params["Name"]))
        return {}

    def _describe_event_bus(self, call: Call) -> Answer:
        return _shown_bus(self.bus(call, call.params.get("Name")))

    def _list_event_buses(self, call: Call) -> Answer:
        prefix = str(call.params.get("NamePrefix") or "")
        shown: list[Any] = [_shown_bus(bus) for bus in self.every(call) if bus.name.startswith(prefix)]
        return _page("EventBuses", shown, call)

    def _put_permission(self, call: Call) -> Answer:
        bus = self.bus(call, call.params.get("EventBusName"))
        if (text := call.params.get("Policy")) is not None:
            bus.policy = cast(list[dict[str, Any]], json.loads(str(text)).get("Statement") or [])
            return {}
        sid, principal = call.params["StatementId"], str(call.params["Principal"])
        statement: dict[str, Any] = {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": "*" if principal == "*" else {"AWS": f"arn:aws:iam::{principal}:root"},
            "Action": call.params.get("Action") or "events:PutEvents",
            "Resource": bus.arn,
        }
        if (condition := cast(Mapping[str, str] | None, call.params.get("Condition"))) is not None:
            statement["Condition"] = {condition["Type"]: {condition["Key"]: condition["Value"]}}
        bus.policy = [held for held in bus.policy if held.get("Sid") != sid] + [statement]
        return {}

    def _remove_permission(self, call: Call) -> Answer:
        bus = self.bus(call, call.params.get("EventBusName"))
        if call.params.get("RemoveAllPermissions"):
            bus.policy = []
            return {}
        kept = [held for held in bus.policy if held.get("Sid") != call.params.get("StatementId")]
        if len(kept) == len(bus.policy):
            raise missing("Statement with the provided id does not exist.")
        bus.policy = kept
        return {}

    # Rules

    def _put_rule(self, call: Call) -> Answer:
        return {"RuleArn": self.put_rule(self.bus(call, call.params.get("EventBusName")), call.params).arn}

    def _delete_rule(self, call: Call) -> Answer:
        self.drop_rule(self.bus(call, call.params.get("EventBusName")), str(call.params["Name"]))
        return {}

    def _describe_rule(self, call: Call) -> Answer:
        rule = self._named_rule(call)
        return {**_shown_rule(rule, call), "CreatedBy": call.account}

    def _enable_rule(self, call: Call) -> Answer:
        self.switch(self._named_rule(call), on=True)
        return {}

    def _disable_rule(self, call: Call) -> Answer:
        self.switch(self._named_rule(call), on=False)
        return {}

    def _list_rules(self, call: Call) -> Answer:
        prefix = str(call.params.get("NamePrefix") or "")
        rules = self.bus(call, call.params.get("EventBusName")).rules
        shown: list[Any] = [_shown_rule(rules[name], call) for name in sorted(rules) if name.startswith(prefix)]
        return _page("Rules", shown, call)

    def _list_rule_names_by_target(self, call: Call) -> Answer:
        rules = self.bus(call, call.params.get("EventBusName")).rules
        wanted = call.params["TargetArn"]
        names: list[Any] = [
            name
            for name, rule in sorted(rules.items())
            if any(target["Arn"] == wanted for target in rule.targets.values())
        ]
        return _page("RuleNames", names, call)

    def _named_rule(self, call: Call) -> Rule:
        return self.rule(call, str(call.params["Name"]), call.params.get("EventBusName"))

    # Targets

    def _put_targets(self, call: Call) -> Answer:
        rule = self.rule(call, str(call.params["Rule"]), call.params.get("EventBusName"))
        targets = cast(Sequence[Mapping[str, Any]], call.params["Targets"])
        for target in targets:
            arn = str(target["Arn"])
            if not service_of(arn):
                raise invalid(f"Parameter {arn} is not valid. Reason: Provided Arn is not in correct format.")
            if (complaint := check_target(target)) is not None:
                raise invalid(complaint)
            if service_of(arn) == "sqs" and arn.endswith(".fifo") and not target.get("SqsParameters"):
                raise invalid(f"Parameter(s) SqsParameters must be specified for target: {target['Id']}.")
            if service_of(arn) not in DELIVERED:
                sys.stderr.write(f"lambdaform: the local AWS will not deliver {rule.arn} to {arn}\n")
        if len(rule.targets.keys() | {target["Id"] for target in targets}) > MAX_TARGETS:
            raise AwsFault("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
        for target in targets:
            rule.targets[str(target["Id"])] = dict(target)
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def _remove_targets(self, call: Call) -> Answer:
        rule = self.rule(call, str(call.params["Rule"]), call.params.get("EventBusName"))
        for name in cast(Sequence[str], call.params["Ids"]):
            rule.targets.pop(name, None)
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def _list_targets_by_rule(self, call: Call) -> Answer:
        rule = self.rule(call, str(call.params["Rule"]), call.params.get("EventBusName"))
        return _page("Targets", list(rule.targets.values()), call)

    # Events

    def _put_events(self, call: Call) -> Answer:
        entries = cast(Sequence[Mapping[str, Any]], call.params["Entries"])
        if sum(event_size(entry) for entry in entries) > MAX_BYTES:
            raise invalid("Total size of the entries in the request is over the limit.")
        results = [self._entry(call, entry) for entry in entries]
        return {"FailedEntryCount": sum("ErrorCode" in result for result in results), "Entries": results}

    def _entry(self, call: Call, entry: Mapping[str, Any]) -> dict[str, str]:
        refusal = _refused(entry)
        if refusal is not None:
            return {"ErrorCode": refusal[0], "ErrorMessage": refusal[1]}
        event: dict[str, Any] = {
            "detail-type": entry["DetailType"],
            "source": entry["Source"],
            "account": call.account,
            "region": call.region,
            "resources": entry.get("Resources"),
            "detail": detail_of(str(entry["Detail"])),
        }
        if entry.get("Time") is not None:
            event["time"] = iso_seconds(seconds(entry["Time"]))
        try:
            arn = self.bus(call, entry.get("EventBusName")).arn
        except AwsFault as error:
            # AWS takes the event all the same, and it is gone.
            sys.stderr.write(f"lambdaform: an event is lost: {error.message}\n")
            return {"EventId": self._ids.uuid()}
        return {"EventId": self.put(arn, event)}

    def _test_event_pattern(self, call: Call) -> Answer:
        check_pattern(str(call.params["EventPattern"]))
        event = detail_of(str(call.params["Event"]))
        if event is None:
            raise invalid("Parameter Event is not valid.")
        for name in ("id", "account", "source", "time", "region", "resources", "detail-type"):
            if name not in event:
                raise invalid(f"Parameter Event is not valid. Reason: {name} is a required argument.")
        pattern = patterns.parse(str(call.params["EventPattern"]), "events")
        return {"Result": patterns.matches(pattern, event)}

    # Tags

    def _tag(self, call: Call) -> Answer:
        tags = self.tags_of(str(call.params["ResourceARN"]))
        tags.update({tag["Key"]: tag["Value"] for tag in call.params["Tags"]})
        return {}

    def _untag(self, call: Call) -> Answer:
        tags = self.tags_of(str(call.params["ResourceARN"]))
        for key in cast(Sequence[str], call.params["TagKeys"]):
            tags.pop(key, None)
        return {}

    def _list_tags(self, call: Call) -> Answer:
        tags = self.tags_of(str(call.params["ResourceARN"]))
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _refused(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why AWS does not take an entry: code and message."""
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            return "InvalidArgument", f"Parameter {name} is not valid. Reason: {name} is a required argument."
    if str(entry["Source"]).startswith("aws."):
        return "NotAuthorizedForSourceException", "Not authorized for the source."
    if detail_of(str(entry["Detail"])) is None:
        return "MalformedDetail", "Detail is malformed."
    return None


def _bus_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    names = ("KmsKeyIdentifier", "DeadLetterConfig", "LogConfig")
    return {name: params[name] for name in names if params.get(name) is not None}


def _described(bus: Bus) -> dict[str, Any]:
    return {**({} if bus.description is None else {"Description": bus.description}), **bus.settings}


def _shown_bus(bus: Bus) -> dict[str, Any]:
    policy = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": bus.policy})} if bus.policy else {}
    return {
        "Name": bus.name,
        "Arn": bus.arn,
        "CreationTime": bus.created,
        "LastModifiedTime": bus.created,
        **_described(bus),
        **policy,
    }


def _shown_rule(rule: Rule, call: Call) -> dict[str, Any]:
    bus = rule.arn.split(":rule/", 1)[1].rpartition("/")[0] or "default"
    optional = {
        "EventPattern": rule.pattern,
        "ScheduleExpression": rule.schedule,
        "Description": rule.description,
        "RoleArn": rule.role_arn,
    }
    return {
        "Name": rule.name,
        "Arn": rule.arn,
        "State": rule.state,
        "EventBusName": bus,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _page(member: str, items: list[Any], call: Call) -> dict[str, Any]:
    shown, token = page(
        items,
        call.params.get("NextToken"),
        int(call.params.get("Limit") or _PAGE),
        refused=invalid("NextToken is invalid."),
    )
    return {member: shown, **({} if token is None else {"NextToken": token})}
