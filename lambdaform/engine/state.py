"""What was deployed, as values: records, retired records, unfinished intents, and their plain-data form."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import attrs

from lambdaform.model.driver import Record

Json = Any
VERSION = 1


@attrs.frozen
class StateKey:
    """Which deployment a state is of. The endpoint is part of it: a stand-in is not the account it plays."""

    stack: str
    stage: str
    region: str
    account: str | None = None
    """None when nobody has asked AWS yet."""
    endpoint: str | None = None
    """None for AWS; the id of the running process for the local AWS; an address for anything else."""


@attrs.define
class State:
    """Everything known about one deployment. Mutated only by `Journal.replay` and the applier."""

    key: StateKey
    lineage: str = attrs.field(factory=lambda: uuid.uuid4().hex)
    """Never changes: two states with another lineage are of two deployments."""
    serial: int = 0
    """Rises with every saved change, so a plan knows whether its base has moved on."""
    records: dict[str, Record] = attrs.field(factory=dict[str, Record])
    retired: dict[str, Record] = attrs.field(factory=dict[str, Record])
    """Replaced things that still have to be deleted, by address and physical name."""
    pending: dict[str, Record] = attrs.field(factory=dict[str, Record])
    """Creates whose result was never written: the thing may exist. Their records have no outputs."""
    kept: dict[str, Record] = attrs.field(factory=dict[str, Record])
    """What holds data and is declared no more: left alone until somebody says to delete it."""
    manifests: dict[str, dict[str, str]] = attrs.field(factory=dict[str, dict[str, str]])
    """Package hash to its files' hashes, for a diff by file."""
    outputs: dict[str, Json] = attrs.field(factory=dict[str, Json])

    def is_empty(self) -> bool:
        """Whether nothing is deployed."""
        return not (self.records or self.retired or self.pending or self.kept)

    def invoked_arn(self, function: Record) -> str:
        """The ARN that a function's triggers invoke: of its alias where it has one."""
        alias = self.records.get(function.address.replace("lambda.function.", "lambda.alias.", 1))
        return str((alias or function).outputs["arn"])

    def manifest_of(self, package: str | None) -> Mapping[str, str]:
        """The files of a package deployed before."""
        return self.manifests.get(package or "", {})


def record_document(record: Record) -> dict[str, Json]:
    """A record as plain data; what is empty is left out."""
    document: dict[str, Json] = {
        "kind": record.kind,
        "name": record.physical_name,
        "declared": dict(record.declared),
        "outputs": dict(record.outputs),
    }
    if record.props != record.declared:
        document["props"] = dict(record.props)
    if record.needs:
        document["needs"] = list(record.needs)
    if record.package:
        document["package"] = record.package
    return document


def read_record(address: str, document: Mapping[str, Json]) -> Record:
    """A record from plain data. Raises `KeyError` where something is missing."""
    declared = document["declared"]
    return Record(
        address=address,
        kind=document["kind"],
        physical_name=document["name"],
        declared=declared,
        props=document.get("props", declared),
        outputs=document["outputs"],
        needs=tuple(document.get("needs", ())),
        package=document.get("package"),
    )


def state_document(state: State) -> dict[str, Json]:
    """A state as plain data."""
    used = {record.package for record in (*state.records.values(), *state.retired.values()) if record.package}

    def group(records: Mapping[str, Record]) -> dict[str, Json]:
        return {address: record_document(record) for address, record in records.items()}

    return {
        "version": VERSION,
        "lineage": state.lineage,
        "serial": state.serial,
        "stack": state.key.stack,
        "stage": state.key.stage,
        "region": state.key.region,
        "account": state.key.account,
        "endpoint": state.key.endpoint,
        "records": group(state.records),
        "retired": group(state.retired),
        "pending": group(state.pending),
        "kept": group(state.kept),
        "manifests": {hash: files for hash, files in state.manifests.items() if hash in used},
        "outputs": state.outputs,
    }


def read_state(document: Mapping[str, Json]) -> State:
    """A state from plain data. Raises `KeyError`, `TypeError` or `ValueError` when it is not one."""
    if document["version"] != VERSION:
        raise ValueError(f"it has the format {document['version']}, and this version reads {VERSION}")

    def group(name: str) -> dict[str, Record]:
        # A retired record's key is its address and physical name; its address stands before the blank.
        return {key: read_record(key.partition(" ")[0], each) for key, each in document.get(name, {}).items()}

    return State(
        key=StateKey(
            document["stack"], document["stage"], document["region"], document["account"], document.get("endpoint")
        ),
        lineage=document["lineage"],
        serial=document["serial"],
        records=group("records"),
        retired=group("retired"),
        pending=group("pending"),
        kept=group("kept"),
        manifests=document.get("manifests", {}),
        outputs=document.get("outputs", {}),
    )
