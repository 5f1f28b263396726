"""Layers of other accounts and Regions.

Whose a layer is, and who may use it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from tests.conformance.facts import fact
from tests.local.conftest import ROLE, Aws, Refusal, payload, refusal, unique, zipped

ACCOUNT, OWNER, STRANGER = "123456789012", "210987654321", "999999999999"
SHARING = "https://docs.aws.amazon.com/lambda/latest/dg/permissions-layer-cross-account.html"
ADDING = "https://docs.aws.amazon.com/lambda/latest/dg/adding-layers.html"
SOURCE = "import shared\ndef handler(event, context):\n    return shared.VALUE\n"


@attrs.frozen
class Shared:
    """A layer with one version, of an account that is not the tests' own."""

    owner: Any
    """Its owner's Lambda."""
    name: str
    arn: str

    @property
    def version(self) -> str:
        """The ARN of its version."""
        return f"{self.arn}:1"

    def share(self, principal: str, **others: str) -> None:
        """Let an account use it."""
        self.owner.add_layer_version_permission(
            LayerName=self.name,
            VersionNumber=1,
            StatementId="share",
            Action="lambda:GetLayerVersion",
            Principal=principal,
            **others,
        )


@pytest.fixture
def layer(aws: Aws) -> Shared:
    """A layer of another account."""
    owner, name = aws.client("lambda", key=OWNER), unique("layer")
    made = owner.publish_layer_version(
        LayerName=name, Content={"ZipFile": zipped({"python/shared.py": "VALUE = 'theirs'\n"})}
    )
    return Shared(owner, name, made["LayerArn"])


def create(client: Any, *layers: str) -> str:
    """Make a function with layers."""
    name = unique()
    client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": zipped({"app.py": SOURCE})},
        Layers=list(layers),
    )
    return name


def assert_denied(found: Refusal, action: str, resource: str, *, account: str = ACCOUNT) -> None:
    assert (found.status, found.code) == (403, "AccessDeniedException")
    assert found.message == (
        f"User: arn:aws:iam::{account}:root is not authorized to perform: lambda:{action} on resource: {resource} "
        f"because no resource-based policy allows the lambda:{action} action"
    )


@fact(
    "LayerName",
    "an ARN says whose layer it is; nobody changes or lists another account's",
    source="https://github.com/mooyoul/serverless-latest-layer-version/issues/31",
)
def test_another_account_s_layer_cannot_be_changed_or_listed(awslambda: Any, layer: Shared) -> None:
    content = {"ZipFile": zipped({"python/shared.py": "VALUE = 'mine'\n"})}
    awslambda.publish_layer_version(LayerName=layer.name, Content=content)  # the tests' own of that name
    layer.share("*")
    one = {"LayerName": layer.arn, "VersionNumber": 1}
    statement = {"StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": "*"}

    for call, params, resource in (
        (awslambda.delete_layer_version, one, layer.version),
        (awslambda.get_layer_version_policy, one, layer.version),
        (awslambda.add_layer_version_permission, {**one, **statement}, layer.version),
        (awslambda.remove_layer_version_permission, {**one, "StatementId": "share"}, layer.version),
        (awslambda.publish_layer_version, {"LayerName": layer.arn, "Content": content}, layer.arn),
        (awslambda.list_layer_versions, {"LayerName": layer.arn}, layer.arn),
    ):
        action = "".join(part.capitalize() for part in call.__name__.split("_"))
        assert_denied(refusal(call, **params), action, resource)

    for client in (awslambda, layer.owner):
        [version] = client.list_layer_versions(LayerName=layer.name)["LayerVersions"]
        assert version["Version"] == 1


@fact(
    "AddLayerVersionPermission",
    "another account's layer version is read and used by the accounts that a permission names",
    source=SHARING,
)
def test_another_account_s_layer_version_needs_a_permission(aws: Aws, awslambda: Any, layer: Shared) -> None:
    stranger = aws.client("lambda", key=STRANGER)
    reads: list[Callable[[Any], Any]] = [
        lambda client: client.get_layer_version(LayerName=layer.arn, VersionNumber=1),
        lambda client: client.get_layer_version_by_arn(Arn=layer.version),
    ]
    own = create(awslambda)

    def deny(client: Any, account: str) -> None:
        for call in reads:
            assert_denied(refusal(call, client=client), "GetLayerVersion", layer.version, account=account)
        found = refusal(lambda: create(client, layer.version))
        assert_denied(found, "GetLayerVersion", layer.version, account=account)

    deny(awslambda, ACCOUNT)
    found = refusal(awslambda.update_function_configuration, FunctionName=own, Layers=[layer.version])
    assert_denied(found, "GetLayerVersion", layer.version)
    layer.share(ACCOUNT)
    for call in reads:
        answer = call(awslambda)
        assert (answer["LayerVersionArn"], answer["LayerArn"]) == (layer.version, layer.arn)
    name = create(awslambda, layer.version)
    assert payload(awslambda.invoke(FunctionName=name)) == "theirs"
    deny(stranger, STRANGER)
    missing = refusal(awslambda.get_layer_version, LayerName=layer.arn, VersionNumber=2)
    assert_denied(missing, "GetLayerVersion", f"{layer.arn}:2")


@fact("AddLayerVersionPermission", "`*` stands for every account", source=SHARING)
def test_a_layer_version_may_be_shared_with_everybody(awslambda: Any, layer: Shared) -> None:
    layer.share("*")

    assert payload(awslambda.invoke(FunctionName=create(awslambda, layer.version))) == "theirs"


@fact(
    "AddLayerVersionPermission",
    "an `OrganizationId` restricts `*` to the accounts of an organization",
    here="partly",
    gap="every account counts as one of the organization",
    source=SHARING,
)
def test_every_account_counts_as_one_of_the_organization(awslambda: Any, layer: Shared) -> None:
    layer.share("*", OrganizationId="o-t194hfs8cz")

    assert awslambda.get_layer_version_by_arn(Arn=layer.version)["Version"] == 1


@fact(
    "Layers",
    "functions keep a layer version that is no longer shared with their account; new ones cannot have it",
    source=ADDING,
)
def test_functions_keep_a_layer_version_that_is_no_longer_shared(awslambda: Any, layer: Shared) -> None:
    layer.share(ACCOUNT)
    name = create(awslambda, layer.version)
    layer.owner.remove_layer_version_permission(LayerName=layer.name, VersionNumber=1, StatementId="share")

    awslambda.update_function_code(FunctionName=name, ZipFile=zipped({"app.py": SOURCE + "#\n"}))
    awslambda.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0})
    awslambda.update_function_configuration(FunctionName=name, Timeout=7)
    awslambda.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0})

    assert payload(awslambda.invoke(FunctionName=name)) == "theirs"
    assert_denied(refusal(lambda: create(awslambda, layer.version)), "GetLayerVersion", layer.version)


@fact(
    "Layers",
    "a layer of another account and another Region is refused for its missing permission, whatever it is shared with",
    source="https://github.com/aws-amplify/amplify-backend/pull/2216",
)
def test_another_account_s_layer_of_another_region_is_never_permitted(aws: Aws, awslambda: Any) -> None:
    owner, name = aws.client("lambda", key=OWNER, region="eu-west-1"), unique("layer")
    made = owner.publish_layer_version(LayerName=name, Content={"ZipFile": zipped({"a": "b"})})
    layer = Shared(owner, name, made["LayerArn"])
    layer.share("*")

    assert_denied(refusal(awslambda.get_layer_version_by_arn, Arn=layer.version), "GetLayerVersion", layer.version)
    assert_denied(refusal(lambda: create(awslambda, layer.version)), "GetLayerVersion", layer.version)


@fact(
    "LayerName",
    "an ARN says which Region a layer is in; other Regions' are not reached",
    source="https://docs.aws.amazon.com/lambda/latest/dg/adding-layers.html",
)
def test_one_s_own_layer_of_another_region_is_not_reached(aws: Aws, awslambda: Any) -> None:
    elsewhere, name = aws.client("lambda", region="eu-west-1"), unique("layer")
    content = {"ZipFile": zipped({"a": "b"})}
    arn = elsewhere.publish_layer_version(LayerName=name, Content=content)["LayerArn"]
    awslambda.publish_layer_version(LayerName=name, Content=content)
    one = {"LayerName": arn, "VersionNumber": 1}

    for found in (
        refusal(awslambda.delete_layer_version, **one),
        refusal(awslambda.get_layer_version, **one),
        refusal(awslambda.get_layer_version_by_arn, Arn=f"{arn}:1"),
        refusal(awslambda.get_layer_version_policy, **one),
        refusal(awslambda.publish_layer_version, LayerName=arn, Content=content),
        refusal(awslambda.list_layer_versions, LayerName=arn),
    ):
        assert (found.status, found.code) == (404, "ResourceNotFoundException")
        # AWS does not publish its wording for layers; this is its wording for functions.
        assert found.message == "Layers from 'eu-west-1' are not reachable in this region ('us-east-1')"
    found = refusal(lambda: create(awslambda, f"{arn}:1"))
    assert (found.status, found.code) == (400, "InvalidParameterValueException")
    assert found.message.endswith("Layers are expected to be in region us-east-1.")
    for client in (awslambda, elsewhere):
        assert len(client.list_layer_versions(LayerName=name)["LayerVersions"]) == 1


@fact(
    "LayerName",
    "one's own layer may be named by its ARN",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_PublishLayerVersion.html",
)
def test_one_s_own_layer_may_be_named_by_its_arn(awslambda: Any) -> None:
    content = {"ZipFile": zipped({"a": "b"})}
    arn = awslambda.publish_layer_version(LayerName=unique("layer"), Content=content)["LayerArn"]

    assert awslambda.publish_layer_version(LayerName=arn, Content=content)["Version"] == 2
    assert awslambda.get_layer_version(LayerName=arn, VersionNumber=2)["LayerArn"] == arn
    awslambda.delete_layer_version(LayerName=arn, VersionNumber=1)
    assert [each["Version"] for each in awslambda.list_layer_versions(LayerName=arn)["LayerVersions"]] == [2]
