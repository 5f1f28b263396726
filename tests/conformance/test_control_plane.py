"""Control plane.

Lambda's control plane through boto3: what answers hold, and what is refused in which words.
"""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest

from lambdaform.local import models
from lambdaform.local.lambda_ import service
from tests.conformance.facts import fact
from tests.local.conftest import ROLE, Aws, Maker, payload, refusal, unique, zipped

API = "https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html"
ECHO = "def handler(event, context):\n    return event\n"


def arn_of(name: str) -> str:
    return f"arn:aws:lambda:us-east-1:123456789012:function:{name}"


@fact(
    "CreateFunction",
    "answers `Pending`; the function is `Active` next; fields without a value are absent",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html",
)
def test_create_answers_pending_and_the_function_is_active_next(awslambda: Any) -> None:
    name = unique()

    created = awslambda.create_function(
        FunctionName=name, Runtime="python3.13", Handler="app.handler", Role=ROLE, Code={"ZipFile": zipped({"a": "b"})}
    )
    found = awslambda.get_function(FunctionName=name)

    created.pop("ResponseMetadata")
    assert created["State"] == "Pending"
    assert created["StateReasonCode"] == "Creating"
    assert "LastUpdateStatus" not in created
    assert "Environment" not in created
    assert "Layers" not in created
    assert (created["Timeout"], created["MemorySize"], created["Version"]) == (3, 128, "$LATEST")
    assert created["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}
    assert found["Configuration"]["State"] == "Active"
    assert found["Configuration"]["LastUpdateStatus"] == "Successful"
    assert found["Code"]["RepositoryType"] == "S3"
    assert "Tags" not in found
    assert "Concurrency" not in found


@fact(
    "GetFunction",
    "`Code.Location` is where the package can be fetched",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html",
)
def test_the_code_can_be_fetched_where_get_function_says(awslambda: Any) -> None:
    name, code = unique(), zipped({"app.py": ECHO})
    awslambda.create_function(
        FunctionName=name, Runtime="python3.11", Handler="app.handler", Role=ROLE, Code={"ZipFile": code}
    )

    location = awslambda.get_function(FunctionName=name)["Code"]["Location"]

    with urllib.request.urlopen(location) as answer:
        assert answer.read() == code


@fact(
    "FunctionName",
    "a name, partial ARN and ARN name the same function",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html",
)
def test_every_spelling_of_a_name_finds_the_function(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    for spelling in (name, f"{name}:$LATEST", f"123456789012:function:{name}", f"function:{name}", arn_of(name)):
        assert awslambda.get_function_configuration(FunctionName=spelling)["FunctionName"] == name


@fact(
    "ValidationException",
    "names every violation of the model at once, without a `Type`",
    source="https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html",
)
def test_the_model_layer_names_every_violation_at_once(awslambda: Any) -> None:
    refused = refusal(
        awslambda.create_function,
        FunctionName=unique(),
        Runtime="python3.13",
        Handler="app.handler",
        Role="nonsense",
        Code={"ZipFile": b""},
        MemorySize=127,
        Architectures=["mips"],
    )

    message = refused.message
    assert (refused.code, refused.status) == ("ValidationException", 400)
    assert message.startswith("3 validation errors detected: ")
    assert "Value 'nonsense' at 'role' failed to satisfy constraint: Member must satisfy regular expression" in message
    assert (
        "Value '127' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128"
        in message
    )
    assert (
        "Value '[mips]' at 'architectures' failed to satisfy constraint: Member must satisfy constraint: "
        "[Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"
    ) in message


@fact(
    "InvalidParameterValueException",
    "what the service refuses beyond the model",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html",
)
@pytest.mark.parametrize(
    ("settings", "code", "text"),
    [
        ({"MemorySize": 10_241}, "ValidationException", "Value '10241' at 'memorySize' failed"),
        ({"Timeout": 901}, "ValidationException", "Value '901' at 'timeout' failed"),
        ({"Runtime": "python3.6"}, "InvalidParameterValueException", "The runtime parameter of python3.6 is no longer"),
        ({"Runtime": "cobol1"}, "InvalidParameterValueException", "Value cobol1 at 'runtime' failed to satisfy"),
        ({"FunctionName": "x" * 65}, "ValidationException", "Member must have length less than or equal to 64"),
        ({"Code": {"ZipFile": b"no zip"}}, "InvalidParameterValueException", "Could not unzip uploaded file."),
        ({"Code": {}}, "InvalidParameterValueException", "Please provide a source for function code."),
        (
            {"Environment": {"Variables": {"AWS_REGION": "x"}}},
            "InvalidParameterValueException",
            "Reserved keys used in this request: AWS_REGION",
        ),
        (
            {"Environment": {"Variables": {"AB": "x" * 4088}}},
            "InvalidParameterValueException",
            'exceeded the 4KB limit. String measured: {"AB":"xxx',
        ),
        (
            {"Layers": [f"arn:aws:lambda:us-east-1:123456789012:layer:nope:{n}" for n in range(6)]},
            "InvalidParameterValueException",
            "Cannot reference more than 5 layers.",
        ),
        (
            {"Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:nope:1"]},
            "InvalidParameterValueException",
            "Layer version arn:aws:lambda:us-east-1:123456789012:layer:nope:1 does not exist.",
        ),
    ],
)
def test_settings_aws_refuses_are_refused(awslambda: Any, settings: dict[str, Any], code: str, text: str) -> None:
    params: dict[str, Any] = {
        "FunctionName": unique(),
        "Runtime": "python3.13",
        "Handler": "app.handler",
        "Role": ROLE,
        "Code": {"ZipFile": zipped({"a": "b"})},
        **settings,
    }

    refused = refusal(awslambda.create_function, **params)

    assert refused.code == code
    assert text in refused.message


@fact(
    "Environment",
    "may hold 4,096 bytes",
    source="https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html",
)
def test_an_environment_of_exactly_4096_bytes_is_taken(awslambda: Any, function: Maker) -> None:
    function(ECHO, Environment={"Variables": {"AB": "x" * (4096 - len('{"AB":""}'))}})


@fact(
    "ResourceConflictException",
    "a name is taken once",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html",
)
def test_a_second_function_of_that_name_is_a_conflict(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)

    refused = refusal(
        awslambda.create_function,
        FunctionName=name,
        Runtime="python3.13",
        Handler="a.b",
        Role=ROLE,
        Code={"ZipFile": zipped({"a": "b"})},
    )

    assert (refused.code, refused.message, refused.status) == (
        "ResourceConflictException",
        f"Function already exist: {name}",
        409,
    )


@fact(
    "RevisionId",
    "an update with an older revision fails with PreconditionFailedException",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html",
)
def test_an_update_needs_the_present_revision(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    revision = awslambda.get_function_configuration(FunctionName=name)["RevisionId"]

    awslambda.update_function_configuration(FunctionName=name, Timeout=9, RevisionId=revision)
    refused = refusal(awslambda.update_function_configuration, FunctionName=name, Timeout=10, RevisionId=revision)

    assert refused.code == "PreconditionFailedException"
    assert refused.status == 412
    assert awslambda.get_function_configuration(FunctionName=name)["Timeout"] == 9


@fact(
    "UpdateFunctionConfiguration",
    "changes only what it names",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html",
)
def test_an_update_changes_only_what_it_names(awslambda: Any, function: Maker) -> None:
    name = function(ECHO, Environment={"Variables": {"AB": "1"}}, Description="old", MemorySize=256)

    updated = awslambda.update_function_configuration(FunctionName=name, Description="new")

    assert (updated["Description"], updated["MemorySize"]) == ("new", 256)
    assert updated["Environment"] == {"Variables": {"AB": "1"}}
    assert updated["LastUpdateStatus"] == "InProgress"
    assert awslambda.get_function_configuration(FunctionName=name)["LastUpdateStatus"] == "Successful"


@fact(
    "LoggingConfig",
    "JSON fills in levels, Text drops them",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_LoggingConfig.html",
)
def test_json_logging_fills_in_levels_and_text_drops_them(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)

    as_json = awslambda.update_function_configuration(FunctionName=name, LoggingConfig={"LogFormat": "JSON"})
    awslambda.get_function(FunctionName=name)
    as_text = awslambda.update_function_configuration(FunctionName=name, LoggingConfig={"LogFormat": "Text"})

    assert as_json["LoggingConfig"] == {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "INFO",
        "LogGroup": f"/aws/lambda/{name}",
    }
    assert as_text["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}


@fact(
    "PublishVersion",
    "publishes nothing when nothing has changed",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html",
)
def test_publishing_again_without_a_change_gives_the_same_version(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)

    first = awslambda.publish_version(FunctionName=name)
    second = awslambda.publish_version(FunctionName=name)
    awslambda.update_function_configuration(FunctionName=name, Timeout=5)
    awslambda.get_function(FunctionName=name)
    third = awslambda.publish_version(FunctionName=name)

    assert (first["Version"], second["Version"], third["Version"]) == ("1", "1", "2")
    assert first["FunctionArn"] == f"{arn_of(name)}:1"
    listed = awslambda.list_versions_by_function(FunctionName=name)["Versions"]
    assert [version["Version"] for version in listed] == ["$LATEST", "1", "2"]


@fact(
    "PublishVersion",
    "numbers are never used again",
    source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html",
)
def test_numbers_of_deleted_versions_are_not_used_again(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    awslambda.publish_version(FunctionName=name)
    awslambda.delete_function(FunctionName=name, Qualifier="1")
    awslambda.delete_function(FunctionName=name, Qualifier="1")

    assert awslambda.publish_version(FunctionName=name)["Version"] == "2"


@fact(
    "Version",
    "keeps its code and settings",
    source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html",
)
def test_a_version_keeps_its_code_when_latest_changes(awslambda: Any, function: Maker) -> None:
    name = function("def handler(event, context):\n    return 1\n")
    awslambda.publish_version(FunctionName=name)
    awslambda.update_function_code(
        FunctionName=name, ZipFile=zipped({"app.py": "def handler(event, context):\n    return 2\n"})
    )

    old = awslambda.invoke(FunctionName=name, Qualifier="1")

    assert (payload(old), old["ExecutedVersion"]) == (1, "1")
    assert payload(awslambda.invoke(FunctionName=name)) == 2


@fact(
    "Alias",
    "serves its version under its own ARN",
    source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html",
)
def test_an_alias_serves_its_version_under_its_own_arn(awslambda: Any, function: Maker) -> None:
    name = function(
        "def handler(event, context):\n    return [context.invoked_function_arn, context.function_version]\n"
    )
    awslambda.publish_version(FunctionName=name)

    alias = awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    answer = awslambda.invoke(FunctionName=name, Qualifier="live")

    alias.pop("ResponseMetadata")
    assert alias == {
        "AliasArn": f"{arn_of(name)}:live",
        "Name": "live",
        "FunctionVersion": "1",
        "Description": "",
        "RevisionId": alias["RevisionId"],
    }
    assert payload(answer) == [f"{arn_of(name)}:live", "1"]
    assert answer["ExecutedVersion"] == "1"


@fact(
    "RoutingConfig",
    "sends a share of the invocations to another version",
    source="https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html",
)
def test_the_whole_weight_of_an_alias_goes_to_the_other_version(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    awslambda.publish_version(FunctionName=name)
    awslambda.update_function_configuration(FunctionName=name, Timeout=5)
    awslambda.get_function(FunctionName=name)
    awslambda.publish_version(FunctionName=name)
    awslambda.create_alias(
        FunctionName=name,
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}},
    )

    assert awslambda.invoke(FunctionName=name, Qualifier="live")["ExecutedVersion"] == "2"


@fact(
    "Alias",
    "versions that are missing, weights that make no sense are refused",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html",
)
def test_aliases_that_make_no_sense_are_refused(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    awslambda.publish_version(FunctionName=name)
    awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion="1")

    again = refusal(awslambda.create_alias, FunctionName=name, Name="live", FunctionVersion="1")
    weights = refusal(
        awslambda.create_alias,
        FunctionName=name,
        Name="x",
        FunctionVersion="$LATEST",
        RoutingConfig={"AdditionalVersionWeights": {"1": 0.5}},
    )
    missing = refusal(awslambda.update_alias, FunctionName=name, Name="nope", FunctionVersion="1")
    number = refusal(awslambda.create_alias, FunctionName=name, Name="2024", FunctionVersion="1")
    used = refusal(awslambda.delete_function, FunctionName=name, Qualifier="1")

    assert (again.message, again.status) == (f"Alias already exists: {arn_of(name)}:live", 409)
    assert weights.message == "$LATEST is not supported for an alias pointing to more than 1 version"
    assert (missing.message, missing.status) == (f"Alias not found: {arn_of(name)}:nope", 404)
    assert number.code == "ValidationException"
    assert used.status == 409
    awslambda.delete_alias(FunctionName=name, Name="nope")


@fact(
    "AddPermission",
    "writes statements as AWS does; RemovePermission takes them out",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html",
)
def test_a_policy_grows_and_shrinks_by_statements(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    given = {
        "FunctionName": name,
        "StatementId": "s3",
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
        "SourceArn": "arn:aws:s3:::bucket",
        "SourceAccount": "123456789012",
    }

    awslambda.add_permission(**given)
    policy = awslambda.get_policy(FunctionName=name)["Policy"]
    again = refusal(awslambda.add_permission, **given)
    awslambda.remove_permission(FunctionName=name, StatementId="s3")

    assert policy == (
        '{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"s3","Effect":"Allow",'
        '"Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction",'
        f'"Resource":"{arn_of(name)}","Condition":{{"StringEquals":{{"AWS:SourceAccount":"123456789012"}},'
        '"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::bucket"}}}]}'
    )
    assert again.code == "ResourceConflictException"
    assert refusal(awslambda.get_policy, FunctionName=name).message == "The resource you requested does not exist."
    assert refusal(awslambda.add_permission, **{**given, "Principal": "nonsense"}).message.startswith(
        "The provided principal was invalid."
    )


@fact(
    "PublishLayerVersion",
    "counts up; a deleted version still serves the functions that have it",
    source="https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html",
)
def test_layer_versions_count_up_and_deleted_ones_still_serve_their_functions(awslambda: Any, function: Maker) -> None:
    layer = unique("layer")
    content = {"ZipFile": zipped({"python/shared.py": "VALUE = 1\n"})}
    first = awslambda.publish_layer_version(LayerName=layer, Content=content, CompatibleRuntimes=["python3.13"])
    second = awslambda.publish_layer_version(LayerName=layer, Content=content)
    name = function(
        "import shared\ndef handler(event, context):\n    return shared.VALUE\n", Layers=[first["LayerVersionArn"]]
    )

    awslambda.delete_layer_version(LayerName=layer, VersionNumber=1)

    assert (first["Version"], second["Version"]) == (1, 2)
    assert [each["Version"] for each in awslambda.list_layer_versions(LayerName=layer)["LayerVersions"]] == [2]
    assert payload(awslambda.invoke(FunctionName=name)) == 1
    by_arn = awslambda.get_layer_version_by_arn(Arn=second["LayerVersionArn"])
    assert by_arn["Version"] == 2
    both = refusal(awslambda.update_function_configuration, FunctionName=name, Layers=[second["LayerVersionArn"]] * 2)
    assert both.message.startswith("Two different versions of the same layer are not allowed")


@fact(
    "PutFunctionConcurrency",
    "leaves 100 unreserved",
    source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html",
)
def test_reservations_leave_a_hundred_unreserved(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)

    refused = refusal(awslambda.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=901)

    assert refused.message.endswith("below its minimum value of [100].")
    assert "ReservedConcurrentExecutions" not in awslambda.get_function_concurrency(FunctionName=name)


@fact(
    "PutFunctionEventInvokeConfig",
    "is put, changed in part and deleted",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html",
)
def test_an_event_invoke_config_is_put_changed_and_deleted(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)

    put = awslambda.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    updated = awslambda.update_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=60)
    awslambda.delete_function_event_invoke_config(FunctionName=name)
    missing = refusal(awslambda.get_function_event_invoke_config, FunctionName=name)

    assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    assert put["FunctionArn"] == f"{arn_of(name)}:$LATEST"
    assert (updated["MaximumRetryAttempts"], updated["MaximumEventAgeInSeconds"]) == (1, 60)
    assert missing.message == f"The function {arn_of(name)}:$LATEST doesn't have an EventInvokeConfig"


@fact(
    "TagResource",
    "keys that begin with `aws:` are AWS's own",
    source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html",
)
def test_tags_of_aws_are_refused(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)

    later = refusal(awslambda.tag_resource, Resource=arn_of(name), Tags={"aws:team": "a"})
    at_once = refusal(
        awslambda.create_function,
        FunctionName=unique(),
        Runtime="python3.11",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": zipped({"app.py": ECHO})},
        Tags={"aws:team": "a"},
    )

    assert (later.code, at_once.code) == ("InvalidParameterValueException", "InvalidParameterValueException")


@fact(
    "ListFunctions",
    "a MasterRegion goes with all versions only",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html",
)
def test_a_master_region_goes_with_all_versions_only(awslambda: Any) -> None:
    refused = refusal(awslambda.list_functions, MasterRegion="us-east-1")

    assert refused.code == "InvalidParameterValueException"


@fact("TagResource", "tags come and go", source="https://docs.aws.amazon.com/lambda/latest/api/API_TagResource.html")
def test_tags_come_and_go(awslambda: Any, function: Maker) -> None:
    name = function(ECHO, Tags={"a": "1"})

    awslambda.tag_resource(Resource=arn_of(name), Tags={"b": "2"})
    awslambda.untag_resource(Resource=arn_of(name), TagKeys=["a"])

    assert awslambda.list_tags(Resource=arn_of(name))["Tags"] == {"b": "2"}
    assert awslambda.get_function(FunctionName=name)["Tags"] == {"b": "2"}


@fact(
    "CodeSigningConfig",
    "is kept and attached to functions",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_CreateCodeSigningConfig.html",
)
def test_code_signing_configs_are_kept_and_attached(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    profile = "arn:aws:signer:us-east-1:123456789012:/signing-profiles/p/1234567890"

    made = awslambda.create_code_signing_config(AllowedPublishers={"SigningProfileVersionArns": [profile]})
    arn = made["CodeSigningConfig"]["CodeSigningConfigArn"]
    awslambda.put_function_code_signing_config(FunctionName=name, CodeSigningConfigArn=arn)

    assert awslambda.list_functions_by_code_signing_config(CodeSigningConfigArn=arn)["FunctionArns"] == [arn_of(name)]
    assert refusal(awslambda.delete_code_signing_config, CodeSigningConfigArn=arn).status == 409
    awslambda.delete_function_code_signing_config(FunctionName=name)
    awslambda.delete_code_signing_config(CodeSigningConfigArn=arn)


@fact(
    "account, Region",
    "functions are seen in their own only",
    source="https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html",
)
def test_accounts_and_regions_do_not_see_each_other(aws: Aws, function: Maker) -> None:
    name = function(ECHO)
    elsewhere = aws.client("lambda", region="eu-west-1")
    other = aws.client("lambda", key="210987654321")

    assert refusal(elsewhere.get_function, FunctionName=name).message == (
        f"Function not found: arn:aws:lambda:eu-west-1:123456789012:function:{name}"
    )
    assert refusal(other.get_function, FunctionName=arn_of(name)).status == 403
    assert other.list_functions()["Functions"] == []
    assert refusal(elsewhere.get_function, FunctionName=arn_of(name)).message == (
        "Functions from 'us-east-1' are not reachable in this region ('eu-west-1')"
    )


@fact(
    "DeleteFunction",
    "takes versions, aliases and URLs along",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_DeleteFunction.html",
)
def test_a_deleted_function_is_gone(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)

    awslambda.delete_function(FunctionName=name)

    gone = refusal(awslambda.get_function, FunctionName=name)
    assert (gone.code, gone.message, gone.status) == (
        "ResourceNotFoundException",
        f"Function not found: {arn_of(name)}",
        404,
    )


@fact(
    "ListFunctions",
    "answers 50 at a time",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html",
)
def test_lists_are_cut_at_fifty_and_go_on(aws: Aws, function: Maker) -> None:
    client = aws.client("lambda", region="ap-south-1")
    code = zipped({"a": "b"})
    for number in range(52):
        client.create_function(
            FunctionName=f"f{number:02}", Runtime="python3.13", Handler="a.b", Role=ROLE, Code={"ZipFile": code}
        )

    first = client.list_functions(MaxItems=10_000)
    second = client.list_functions(Marker=first["NextMarker"])

    assert [len(each["Functions"]) for each in (first, second)] == [50, 2]
    assert "State" not in first["Functions"][0]
    assert "NextMarker" not in second


@fact(
    "listings",
    "go on after what was listed, also where that is deleted meanwhile",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_ListAliases.html",
)
def test_what_is_deleted_page_by_page_is_deleted_whole(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    for alias in "abcde":
        awslambda.create_alias(FunctionName=name, Name=alias, FunctionVersion="$LATEST")

    pages, marker = list[list[str]](), dict[str, str]()
    while True:
        answer = awslambda.list_aliases(FunctionName=name, MaxItems=2, **marker)
        pages.append([alias["Name"] for alias in answer["Aliases"]])
        for alias in pages[-1]:
            awslambda.delete_alias(FunctionName=name, Name=alias)
        if "NextMarker" not in answer:
            break
        marker = {"Marker": answer["NextMarker"]}

    assert pages == [["a", "b"], ["c", "d"], ["e"]]
    assert awslambda.list_aliases(FunctionName=name)["Aliases"] == []


@fact(
    "listings",
    "refuse a marker that comes from none",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html",
)
def test_a_marker_that_is_none_is_refused(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)

    found = [
        refusal(awslambda.list_functions, Marker="junk"),
        refusal(awslambda.list_versions_by_function, FunctionName=name, Marker="-1"),
        refusal(awslambda.list_event_source_mappings, Marker="50"),
    ]

    assert {(each.code, each.status) for each in found} == {("InvalidParameterValueException", 400)}


@fact(
    "operations that are not offered",
    "are there",
    here="not",
    gap="durable execution, capacity providers and resource policies answer 501 and name the operation",
)
def test_an_operation_that_is_not_offered_says_its_name(awslambda: Any) -> None:
    refused = refusal(
        awslambda.create_capacity_provider,
        CapacityProviderName="x",
        VpcConfig={"SubnetIds": ["subnet-12345678"], "SecurityGroupIds": ["sg-12345678"]},
        PermissionsConfig={"CapacityProviderOperatorRoleArn": ROLE},
    )

    assert (refused.code, refused.status) == ("NotImplemented", 501)
    assert "CreateCapacityProvider" in refused.message


OFFERED = {*service.OPERATIONS, *service.INVOCATIONS, *service.PREPARING}
MISSING = sorted(models.model("lambda").operations.keys() - OFFERED)


@fact(
    "operations",
    "every operation of the API but those of durable execution, capacity providers, resource policies",
    here="partly",
    gap="those answer 501 and say their name",
    source=API,
)
def test_what_is_not_offered_belongs_to_three_families() -> None:
    families = ("Durable", "CapacityProvider", "ResourcePolicy")

    assert [name for name in MISSING if not any(family in name for family in families)] == []
