"""Event source mappings: Lambda polls a queue, stream or broker and invokes a function with batches.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, cast

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, changed_tags, is_missing
from lambdaform.model.marks import Length, OneOf, Range, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Resource
from lambdaform.model.units import items, seconds
from lambdaform.model.value import Value

PARAMETERS = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html"
POLLERS = "https://docs.aws.amazon.com/lambda/latest/api/API_ProvisionedPollerConfig.html"
ACCESS = "https://docs.aws.amazon.com/lambda/latest/api/API_SourceAccessConfiguration.html"


@attrs.frozen(eq=False, repr=False)
class SourceAccess(Value):
    """One of the ways into a broker: `SourceAccess("BASIC_AUTH", secret_arn)`."""

    type: Input[str]
    """AWS's name of it, such as `BASIC_AUTH` or `SASL_SCRAM_512_AUTH`."""
    uri: Annotated[Input[str] | None, Length(1, 200, source=ACCESS)] = None
    """ARN of the secret, or the subnet, security group, scope and so on."""


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class EventSourceMapping(Resource):
    """Reads a queue, stream or broker for a function. `queue.messages(...)` and its like make one with all it needs."""

    kind: ClassVar[str] = "lambda.event_source_mapping"
    title: ClassVar[str] = "event source mapping"
    taggable: ClassVar[bool] = True
    replacement: ClassVar[str] = "delete first"

    function: Input[str]
    """ARN of the function, or of its alias or version."""
    source: Annotated[Input[str] | None, Replaces("a mapping reads one source for life")] = None
    """ARN of the queue, stream, cluster or broker; a Kafka of one's own has `bootstrap_servers` instead."""
    source_kind: Annotated[str, OneOf(("sqs", "kinesis", "dynamodb", "msk", "kafka", "mq", "documentdb"))] = "sqs"
    """Which kind the source is of: decides which settings AWS takes. `kafka` is one that is not Amazon MSK."""
    enabled: Input[bool] = True
    """Whether it polls."""
    batch_size: Annotated[Input[int] | None, Range(1, 10_000, "records", source=PARAMETERS)] = None
    """Most records in one invocation; AWS's default is 10 for queues and 100 for everything else."""
    window: Annotated[Input[int], Range(0, 300, "s", source=PARAMETERS)] = attrs.field(default=0, converter=seconds)
    """How long to collect a batch, from its first record on; brokers collect for half a second when it is not given."""
    partial_failures: Input[bool] = False
    """Whether the function's answer may name the records that failed (`ReportBatchItemFailures`)."""
    filters: Annotated[tuple[Mapping[str, Any], ...], Length(0, 10, "filters", source=PARAMETERS)] = attrs.field(
        default=(), converter=items
    )
    """Patterns; a record that matches none of them is passed over (and deleted, for a queue)."""
    max_concurrency: Annotated[Input[int] | None, Range(2, 1_000, "invocations", source=PARAMETERS)] = None
    """Queues only: most invocations at a time."""
    min_pollers: Annotated[Input[int] | None, Range(1, 200, "pollers", source=POLLERS)] = None
    """Queues and Kafka: fewest pollers kept for this mapping, which AWS bills; not with `max_concurrency`."""
    max_pollers: Annotated[Input[int] | None, Range(1, 10_000, "pollers", source=POLLERS)] = None
    """Queues and Kafka: most pollers kept for this mapping."""
    metrics: Input[bool] = False
    """Whether CloudWatch gets counts of this mapping's events (`EventCount`), which AWS bills."""
    starting_position: Annotated[
        Input[str] | None,
        OneOf(("LATEST", "TRIM_HORIZON", "AT_TIMESTAMP")),
        Replaces("a mapping starts once"),
    ] = None
    """Streams, Kafka, DocumentDB: where to begin."""
    starting_timestamp: Annotated[Input[float] | None, Replaces("a mapping starts once")] = None
    """Seconds since 1970, with `AT_TIMESTAMP`; DynamoDB has none."""
    parallelization: Annotated[Input[int] | None, Range(1, 10, "batches per shard", source=PARAMETERS)] = None
    """Streams only: batches of one shard handled at a time."""
    bisect_on_error: Input[bool] = False
    """Streams, and Kafka with pollers of its own: halve a failing batch."""
    max_record_age: Annotated[Input[int] | None, Range(-1, 604_800, "s", source=PARAMETERS)] = None
    """Streams, and Kafka with pollers of its own: drop older records; -1 keeps them as long as the stream does."""
    max_retries: Annotated[Input[int] | None, Range(-1, 10_000, "retries", source=PARAMETERS)] = None
    """Streams, and Kafka with pollers of its own: retries of a failing batch; -1 retries until the records expire."""
    tumbling_window: Annotated[Input[int] | None, Range(0, 900, "s", source=PARAMETERS)] = None
    """Streams only: length of an aggregation window."""
    on_failure: Input[str] | None = None
    """Streams and Kafka: ARN of a queue, topic or bucket that hears of discarded batches."""
    topic: Annotated[Input[str] | None, Length(1, 249), Replaces("a mapping reads one topic for life")] = None
    """Kafka: the topic."""
    bootstrap_servers: Annotated[
        tuple[Input[str], ...], Length(0, 10, "addresses"), Replaces("a mapping reads one source for life")
    ] = attrs.field(default=(), converter=items)
    """A Kafka of one's own: addresses of its brokers, `host:port`."""
    consumer_group: Annotated[Input[str] | None, Length(1, 200), Replaces("a mapping joins one group for life")] = None
    """Kafka: the consumer group to join; one named by the mapping's id when not given."""
    queue: Annotated[Input[str] | None, Length(1, 1_000), Replaces("a mapping reads one queue for life")] = None
    """Amazon MQ: the broker's queue."""
    virtual_host: Annotated[Input[str] | None, Length(1, 200), Replaces("AWS cannot change it")] = None
    """RabbitMQ: the virtual host of the queue."""
    database: Annotated[Input[str] | None, Length(1, 63)] = None
    """DocumentDB: the database whose changes are read."""
    collection: Annotated[Input[str] | None, Length(1, 57)] = None
    """DocumentDB: the collection; all of the database's when not given."""
    full_document: Annotated[Input[str] | None, OneOf(("Default", "UpdateLookup"))] = None
    """DocumentDB: `UpdateLookup` sends the whole document with an update as well."""
    access: Annotated[tuple[SourceAccess, ...], Length(0, 22, "ways", source=ACCESS)] = attrs.field(
        default=(), converter=items
    )
    """Brokers: secrets, subnets and security groups for the way in."""
    tags: Annotated[Mapping[str, Input[str]], Length(0, 50, "tags")] = attrs.field(factory=dict[str, Input[str]])
    """Tags besides the stack's."""

    uuid = output(str, "AWS's id of the mapping.")
    arn = output(str, "The mapping's ARN.")


# prop -> (member of the request, AWS's default once it was set and is no longer)
_SETTINGS: Mapping[str, tuple[str, Any]] = {
    "enabled": ("Enabled", True),
    "batch_size": ("BatchSize", None),
    "window": ("MaximumBatchingWindowInSeconds", 0),
    "parallelization": ("ParallelizationFactor", 1),
    "bisect_on_error": ("BisectBatchOnFunctionError", False),
    "max_record_age": ("MaximumRecordAgeInSeconds", -1),
    "max_retries": ("MaximumRetryAttempts", -1),
    "tumbling_window": ("TumblingWindowInSeconds", 0),
}
_GROUPS = {"msk": "AmazonManagedKafkaEventSourceConfig", "kafka": "SelfManagedKafkaEventSourceConfig"}


class EventSourceMappingDriver:
    """Makes and changes mappings, and waits until AWS has made the change."""

    exists = ("ResourceConflictException",)

    def _settings(self, desired: Desired, names: Iterable[str]) -> dict[str, Any]:
        request: dict[str, Any] = {}
        for name in names:
            if name in _SETTINGS:
                member, default = _SETTINGS[name]
                value = desired.get(name, default)
                if name == "batch_size" and value is None:
                    value = 10 if desired.get("source_kind", "sqs") == "sqs" else 100
                request[member] = value
            elif name == "partial_failures":
                request["FunctionResponseTypes"] = ["ReportBatchItemFailures"] if desired.get(name) else []
            elif name == "filters":
                request["FilterCriteria"] = {
                    "Filters": [
                        {"Pattern": json.dumps(pattern, separators=(",", ":"))} for pattern in desired.get(name, [])
                    ]
                }
            elif name == "max_concurrency":
                limit = desired.get(name)
                request["ScalingConfig"] = {"MaximumConcurrency": limit} if limit is not None else {}
            elif name == "on_failure":
                target = desired.get(name)
                request["DestinationConfig"] = {"OnFailure": {"Destination": target} if target else {}}
            elif name in ("min_pollers", "max_pollers"):
                given = {"MinimumPollers": desired.get("min_pollers"), "MaximumPollers": desired.get("max_pollers")}
                request["ProvisionedPollerConfig"] = {key: value for key, value in given.items() if value is not None}
            elif name == "metrics":
                request["MetricsConfig"] = {"Metrics": ["EventCount"] if desired.get(name) else []}
            elif name in ("database", "collection", "full_document"):
                config = {
                    "DatabaseName": desired.get("database"),
                    "CollectionName": desired.get("collection"),
                    "FullDocument": desired.get("full_document"),
                }
                request["DocumentDBEventSourceConfig"] = {key: value for key, value in config.items() if value}
            elif name == "access":
                request["SourceAccessConfigurations"] = _access(desired)
        return request

    def _place(self, desired: Desired) -> dict[str, Any]:
        """What is read, which never changes."""
        place: dict[str, Any] = {}
        if (source := desired.get("source")) is not None:
            place["EventSourceArn"] = source
        if servers := desired.get("bootstrap_servers"):
            place["SelfManagedEventSource"] = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": list(servers)}}
        if (topic := desired.get("topic")) is not None:
            place["Topics"] = [topic]
        if (queue := desired.get("queue")) is not None:
            place["Queues"] = [queue]
        return place

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """CreateEventSourceMapping, then wait until it is enabled (or disabled, as declared)."""
        request = self._settings(desired, desired.props) | self._place(desired)
        if (group := desired.get("consumer_group")) is not None:
            request[_GROUPS[desired.get("source_kind", "kafka")]] = {"ConsumerGroupId": group}
        if (host := desired.get("virtual_host")) is not None:
            request["SourceAccessConfigurations"] = [*_access(desired), {"Type": "VIRTUAL_HOST", "URI": host}]
        if (position := desired.get("starting_position")) is not None:
            request["StartingPosition"] = position
        if (timestamp := desired.get("starting_timestamp")) is not None:
            request["StartingPositionTimestamp"] = timestamp
        answer = aws.call(
            "lambda",
            "CreateEventSourceMapping",
            FunctionName=desired.props["function"],
            Tags=dict(desired.tags),
            **request,
        )
        return self._settled(aws, answer["UUID"])

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """UpdateEventSourceMapping for what changed, then wait."""
        uuid = record.outputs["uuid"]
        request = self._settings(desired, changed)
        if "function" in changed:
            request["FunctionName"] = desired.props["function"]
        if request:
            self._settled(aws, uuid)  # AWS refuses a change while another one is under way
            aws.call("lambda", "UpdateEventSourceMapping", UUID=uuid, **request)
        if "tags" in changed:
            put, removed = changed_tags(record.props.get("tags"), desired.props.get("tags"))
            if put:
                aws.call("lambda", "TagResource", Resource=record.outputs["arn"], Tags=put)
            if removed:
                aws.call("lambda", "UntagResource", Resource=record.outputs["arn"], TagKeys=removed)
        return self._settled(aws, uuid) if request else record.outputs

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The mapping between the same two ends."""
        place = self._place(desired)
        asked = {"EventSourceArn": place["EventSourceArn"]} if "EventSourceArn" in place else {}
        while True:
            answer = aws.call("lambda", "ListEventSourceMappings", FunctionName=desired.props["function"], **asked)
            for mapping in answer.get("EventSourceMappings", []):
                if all(mapping.get(member) == value for member, value in place.items()):
                    return Found(_outputs(aws, mapping), None)
            if not answer.get("NextMarker"):
                return None
            asked["Marker"] = answer["NextMarker"]

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        mapping = _get(aws, record.outputs["uuid"])
        return None if mapping is None else _outputs(aws, mapping)

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteEventSourceMapping, then wait until it is gone."""
        uuid = record.outputs["uuid"]

        def gone() -> bool | None:
            mapping = _get(aws, uuid)
            if mapping is None:
                return True
            if mapping.get("State") == "Deleting":
                return None
            try:
                aws.call("lambda", "DeleteEventSourceMapping", UUID=uuid)
            except AwsError as error:
                if is_missing(error):
                    return True
                if error.code != "ResourceInUseException":  # creating or updating: look again
                    raise
            return None

        aws.wait_for(f"the mapping {uuid} to be deleted", gone)

    def _settled(self, aws: Aws, uuid: str) -> Mapping[str, Any]:
        def look() -> Mapping[str, Any] | None:
            mapping = _get(aws, uuid)
            if mapping is None or mapping.get("State", "Enabled") in ("Enabled", "Disabled"):
                return mapping
            return None

        mapping = aws.wait_for(f"the mapping {uuid} to be ready", look)
        return _outputs(aws, mapping)


def _access(desired: Desired) -> list[dict[str, str]]:
    given = cast(Iterable[Mapping[str, Any]], desired.get("access", ()))
    return [{"Type": each["type"], **({"URI": each["uri"]} if each.get("uri") else {})} for each in given]


def _get(aws: Aws, uuid: str) -> Mapping[str, Any] | None:
    try:
        return aws.call("lambda", "GetEventSourceMapping", UUID=uuid)
    except AwsError as error:
        if is_missing(error):
            return None
        raise


def _outputs(aws: Aws, mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    uuid = mapping["UUID"]
    arn = mapping.get("EventSourceMappingArn") or (
        f"arn:{aws.partition}:lambda:{aws.region}:{aws.account}:event-source-mapping:{uuid}"
    )
    return {"uuid": uuid, "arn": arn}


DRIVER = EventSourceMappingDriver()
