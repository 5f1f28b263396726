"""The CloudWatch Logs API over the store. https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from lambdaform.local.logs.filters import compile_pattern
from lambdaform.local.logs.listing import foreign, listing
from lambdaform.local.logs.store import Group, Key, LogEvent, LogStore, Stream
from lambdaform.local.logs.subscriptions import Subscriptions
from lambdaform.local.operations import Answer, Operation, answer
from lambdaform.local.ports import AwsFault, Call, Json

RETENTIONS = frozenset(
    (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
)
MOST_EVENTS_AT_ONCE = 10_000
_TOO_OLD = 14 * 86_400_000
_TOO_NEW = 2 * 3_600_000


class Logs:
    """The service behind the door."""

    name = "logs"

    def __init__(self, store: LogStore, subscriptions: Subscriptions) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._operations: Mapping[str, Operation] = {
            "CreateLogGroup": self._create_log_group,
            "DeleteLogGroup": self._delete_log_group,
            "DescribeLogGroups": self._describe_log_groups,
            "PutRetentionPolicy": self._put_retention_policy,
            "DeleteRetentionPolicy": self._delete_retention_policy,
            "CreateLogStream": self._create_log_stream,
            "DeleteLogStream": self._delete_log_stream,
            "DescribeLogStreams": self._describe_log_streams,
            "PutLogEvents": self._put_log_events,
            "GetLogEvents": self._get_log_events,
            "FilterLogEvents": self._filter_log_events,
            "TagLogGroup": self._tag_log_group,
            "UntagLogGroup": self._untag_log_group,
            "ListTagsLogGroup": self._list_tags_log_group,
            "TagResource": self._tag_resource,
            "UntagResource": self._untag_resource,
            "ListTagsForResource": self._list_tags_for_resource,
            "PutSubscriptionFilter": self._put_subscription_filter,
            "DeleteSubscriptionFilter": self._delete_subscription_filter,
            "DescribeSubscriptionFilters": self._describe_subscription_filters,
        }

    async def handle(self, call: Call) -> Answer:
        """Answer one call."""
        return await answer(self._operations, call)

    # Groups

    def _create_log_group(self, call: Call) -> Answer:
        key = _key(call, call.params["logGroupName"])
        if self._store.get(key) is not None:
            raise AwsFault("ResourceAlreadyExistsException", "The specified log group already exists")
        group = self._store.create(key)
        group.tags = dict(call.params.get("tags", {}))
        group.kms_key = call.params.get("kmsKeyId")
        group.log_class = call.params.get("logGroupClass", "STANDARD")
        return {}

    def _delete_log_group(self, call: Call) -> Answer:
        self._group(call)
        self._store.delete(_key(call, call.params["logGroupName"]))
        return {}

    def _describe_log_groups(self, call: Call) -> Answer:
        prefix = call.params.get("logGroupNamePrefix", "")
        pattern = call.params.get("logGroupNamePattern", "").lower()
        found: list[Json] = [
            _group_out(group)
            for group in self._store.groups(call.account, call.region)
            if group.name.startswith(prefix) and pattern in group.name.lower()
        ]
        return listing(call, "logGroups", found)

    def _put_retention_policy(self, call: Call) -> Answer:
        days = call.params["retentionInDays"]
        if days not in RETENTIONS:
            allowed = ", ".join(str(each) for each in sorted(RETENTIONS))
            text = (
                f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: "
                f"Member must satisfy enum value set: [{allowed}]"
            )
            raise AwsFault("InvalidParameterException", text)
        self._group(call).retention_days = days
        return {}

    def _delete_retention_policy(self, call: Call) -> Answer:
        self._group(call).retention_days = None
        return {}

    # Streams

    def _create_log_stream(self, call: Call) -> Answer:
        group = self._group(call)
        name = call.params["logStreamName"]
        if name in group.streams:
            raise AwsFault("ResourceAlreadyExistsException", "The specified log stream already exists")
        group.streams[name] = Stream(name, self._store.milliseconds())
        return {}

    def _delete_log_stream(self, call: Call) -> Answer:
        group = self._group(call)
        del group.streams[_stream(group, call.params["logStreamName"]).name]
        return {}

    def _describe_log_streams(self, call: Call) -> Answer:
        group = self._group(call)
        by_time = call.params.get("orderBy") == "LastEventTime"
        prefix = call.params.get("logStreamNamePrefix", "")
        if by_time and prefix:
            raise AwsFault("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
        streams = [stream for stream in group.streams.values() if stream.name.startswith(prefix)]
        streams.sort(
            key=(lambda stream: (stream.events[-1].timestamp if stream.events else 0, stream.name))
            if by_time
            else (lambda stream: (0, stream.name)),
            reverse=call.params.get("descending", False),
        )
        found: list[Json] = [_stream_out(group, stream, self._store.events(group, stream)) for stream in streams]
        return listing(call, "logStreams", found)

    # Events

    def _put_log_events(self, call: Call) -> Answer:
        group = self._group(call)
        stream = _stream(group, call.params["logStreamName"])
        events: Sequence[Mapping[str, Json]] = call.params["logEvents"]
        if any(before["timestamp"] > after["timestamp"] for before, after in itertools.pairwise(events)):
            text = "Log events in a single PutLogEvents request must be in chronological order."
            raise AwsFault("InvalidParameterException", text)
        now = self._store.milliseconds()
        old = sum(event["timestamp"] < now - _TOO_OLD for event in events)
        new = sum(event["timestamp"] > now + _TOO_NEW for event in events)
        for event in events[old : len(events) - new]:
            self._store.append(group, stream, event["timestamp"], event["message"])
        refused: dict[str, int] = {}
        if old:
            refused["tooOldLogEventEndIndex"] = old
        if new:
            refused["tooNewLogEventStartIndex"] = len(events) - new
        return {"nextSequenceToken": f"{now:056d}", "rejectedLogEventsInfo": refused or None}

    def _get_log_events(self, call: Call) -> Answer:
        group = self._group(call)
        stream = _stream(group, call.params["logStreamName"])
        events = _between(self._store.events(group, stream), call.params)
        limit = call.params.get("limit", MOST_EVENTS_AT_ONCE)
        token = call.params.get("nextToken", "")
        direction, _, position = token.partition("/")
        if token and (direction not in ("f", "b") or not position.isdigit()):
            raise foreign()
        if direction == "f" or (not token and call.params.get("startFromHead", False)):
            start = min(int(position or 0), len(events))
            stop = min(start + limit, len(events))
        else:
            stop = min(int(position), len(events)) if token else len(events)
            start = max(stop - limit, 0)
        return {
            "events": [
                {"timestamp": event.timestamp, "message": event.message, "ingestionTime": event.ingested}
                for event in events[start:stop]
            ],
            "nextForwardToken": f"f/{stop:056d}",
            "nextBackwardToken": f"b/{start:056d}",
        }

    def _filter_log_events(self, call: Call) -> Answer:
        group = self._group(call)
        names: Sequence[str] = call.params.get("logStreamNames", ())
        prefix = call.params.get("logStreamNamePrefix", "")
        for name in names:
            _stream(group, name)
        matches = compile_pattern(call.params.get("filterPattern", ""))
        found = [
            (event, stream)
            for stream in group.streams.values()
            if (stream.name in names if names else stream.name.startswith(prefix))
            for event in _between(self._store.events(group, stream), call.params)
            if matches(event.message)
        ]
        found.sort(key=lambda pair: (pair[0].timestamp, pair[0].number))
        events: list[Json] = [
            {
                "logStreamName": stream.name,
                "timestamp": event.timestamp,
                "message": event.message,
                "ingestionTime": event.ingested,
                "eventId": f"{event.number:056d}",
            }
            for event, stream in found
        ]
        return {**listing(call, "events", events, most=MOST_EVENTS_AT_ONCE), "searchedLogStreams": []}

    # Tags and subscriptions

    def _tag_log_group(self, call: Call) -> Answer:
        self._group(call).tags.update(call.params["tags"])
        return {}

    def _untag_log_group(self, call: Call) -> Answer:
        tags = self._group(call).tags
        for key in call.params["tags"]:
            tags.pop(key, None)
        return {}

    def _list_tags_log_group(self, call: Call) -> Answer:
        return {"tags": dict(self._group(call).tags)}

    def _tag_resource(self, call: Call) -> Answer:
        self._by_arn(call).tags.update(call.params["tags"])
        return {}

    def _untag_resource(self, call: Call) -> Answer:
        tags = self._by_arn(call).tags
        for key in call.params["tagKeys"]:
            tags.pop(key, None)
        return {}

    def _list_tags_for_resource(self, call: Call) -> Answer:
        return {"tags": dict(self._by_arn(call).tags)}

    def _put_subscription_filter(self, call: Call) -> Answer:
        self._subscriptions.put(self._group(call), call)
        return {}

    def _delete_subscription_filter(self, call: Call) -> Answer:
        self._subscriptions.delete(self._group(call), call.params["filterName"])
        return {}

    def _describe_subscription_filters(self, call: Call) -> Answer:
        return self._subscriptions.describe(self._group(call), call)

    # Finding

    def _group(self, call: Call) -> Group:
        name = call.params.get("logGroupName") or call.params.get("logGroupIdentifier")
        if not name:
            text = "Must specify either logGroupName or logGroupIdentifier"
            raise AwsFault("InvalidParameterException", text)
        return self._found(_key(call, _group_name(name)))

    def _by_arn(self, call: Call) -> Group:
        return self._found(_key(call, _group_name(call.params["resourceArn"])))

    def _found(self, key: Key) -> Group:
        group = self._store.get(key)
        if group is None:
            raise AwsFault("ResourceNotFoundException", "The specified log group does not exist.")
        return group


def _key(call: Call, name: str) -> Key:
    return call.account, call.region, name


def _group_name(identifier: str) -> str:
    return identifier.split(":log-group:", 1)[-1].removesuffix(":*") if identifier.startswith("arn:") else identifier


def _stream(group: Group, name: str) -> Stream:
    stream = group.streams.get(name)
    if stream is None:
        raise AwsFault("ResourceNotFoundException", "The specified log stream does not exist.")
    return stream


def _between(events: Sequence[LogEvent], params: Mapping[str, Json]) -> list[LogEvent]:
    start, end = params.get("startTime", 0), params.get("endTime")
    return [each for each in events if each.timestamp >= start and (end is None or each.timestamp < end)]


def _group_out(group: Group) -> dict[str, Json]:
    return {
        "logGroupName": group.name,
        "creationTime": group.created,
        "retentionInDays": group.retention_days,
        "metricFilterCount": 0,
        "arn": f"{group.arn}:*",
        "logGroupArn": group.arn,
        "logGroupClass": group.log_class,
        "storedBytes": 0,
        "kmsKeyId": group.kms_key,
    }


def _stream_out(group: Group, stream: Stream, events: Sequence[LogEvent]) -> dict[str, Json]:
    times = [event.timestamp for event in events]
    answer_: dict[str, Json] = {
        "logStreamName": stream.name,
        "creationTime": stream.created,
        "arn": f"{group.arn}:log-stream:{stream.name}",
        "storedBytes": 0,
    }
    if events:
        answer_ |= {
            "firstEventTimestamp": min(times),
            "lastEventTimestamp": max(times),
            "lastIngestionTime": events[-1].ingested,
            "uploadSequenceToken": "0" * 56,
        }
    return answer_
