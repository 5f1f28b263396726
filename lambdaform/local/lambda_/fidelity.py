"""What the local AWS accepts without honouring it, said out loud per function. Pure functions."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import attrs

from lambdaform.local.lambda_.blueprints import HERE, major_of, no_dotnet, why_not_run
from lambdaform.local.lambda_.interpreters import dotnet, java, node, pythons, ruby
from lambdaform.local.lambda_.launching import DOTNET, JAVA, NODE, PYTHON, RUBY, language_of, of_python
from lambdaform.local.lambda_.values import Function, Version
from lambdaform.model.runtimes import RUNTIMES


@attrs.frozen
class Difference:
    """One setting and what becomes of it here."""

    setting: str
    says: str


def not_honoured(function: Function, *, is_isolated: bool, has_shares: bool, now: float) -> list[Difference]:
    """The settings of a function's `$LATEST` that have no effect here."""
    version = function.latest
    return [
        *_of_age(version, now),
        *_of_version(version, is_isolated=is_isolated, has_shares=has_shares),
        *_of_function(function),
    ]


def _of_age(version: Version, now: float) -> Iterator[Difference]:
    runtime = RUNTIMES.get(version.runtime)
    today = datetime.datetime.fromtimestamp(now, datetime.UTC).date()
    if runtime is not None and runtime.create_blocked is not None and runtime.create_blocked <= today:
        yield Difference("Runtime", f"AWS makes no new functions of {version.runtime} since {runtime.create_blocked}")


def _of_version(version: Version, *, is_isolated: bool, has_shares: bool) -> Iterator[Difference]:
    settings = version.settings
    why = why_not_run(version)
    language = language_of(version.runtime)
    if why is not None:
        yield Difference("Runtime", f"{why}; invoking answers 501")
    elif language == PYTHON and version.runtime != HERE:
        if of_python(version.runtime, own=HERE, found=pythons()) is None:
            yield Difference("Runtime", f"{version.runtime} is not installed here and runs under {HERE}")
        else:
            yield Difference(
                "runtime client", f"{version.runtime} runs under a client of ours: AWS's is for {HERE} here"
            )
    elif language == NODE and (found := node()) is not None:
        yield Difference("runtime client", f"{version.runtime} runs under a client of ours and {found.program}")
    elif language == RUBY and (found := ruby()) is not None:
        yield Difference("runtime client", f"{version.runtime} runs under a client of ours and {found.program}")
        yield Difference("AWS SDK for Ruby", "it is there only when it is packaged")
    elif language == JAVA and (found := java(major_of(version.runtime))) is not None:
        yield Difference("Runtime", f"{version.runtime} runs under {found.program}")
    elif language == DOTNET:
        if (here := dotnet(major_of(version.runtime))) is not None:
            yield Difference("Runtime", f"{version.runtime} runs under .NET {here[0]} of {here[1].program}")
        else:
            yield Difference("Runtime", f"{no_dotnet(version.runtime)}; invoking an assembly answers 501")
    if settings["Architectures"] != ["x86_64"]:
        yield Difference("Architectures", "code runs on this machine's processor")
    if not has_shares:
        yield Difference("MemorySize", "memory is limited; the share of the processor only with --cpu-share")
    if not is_isolated:
        yield Difference("EphemeralStorage", "the size of /tmp is not limited")
        yield Difference("/tmp", "TMPDIR is private to an environment; /tmp itself is this machine's")
        yield Difference("/var/task and /opt", "code and layers lie elsewhere; LAMBDA_TASK_ROOT says where")
        if version.layers:
            yield Difference("sandbox.localdomain", "extensions listen on localhost: the name is not known")
    for field, says in (
        ("VpcConfig", "handlers run on this machine's network"),
        ("FileSystemConfigs", "no file system is mounted"),
        ("KMSKeyArn", "environment variables are not encrypted"),
        ("DurableConfig", "durable execution is not offered"),
        ("CapacityProviderConfig", "managed instances are not offered"),
    ):
        if settings.get(field):
            yield Difference(field, says)
    if settings["TracingConfig"]["Mode"] == "Active":
        yield Difference("TracingConfig", "no traces are recorded")
    if settings["SnapStart"]["ApplyOn"] != "None":
        says = "environments are copies of one process, but new ones where it has threads, processes or files to write"
        yield Difference("SnapStart", says if is_isolated and language == PYTHON else "environments initialise anew")


def _of_function(function: Function) -> Iterator[Difference]:
    yield Difference("Role", "the role's permissions are not enforced, and it need not exist")
    if function.signing_config:
        yield Difference("CodeSigningConfig", "signatures are not checked")
    if any(url.auth_type == "AWS_IAM" for url in function.urls.values()):
        yield Difference("FunctionUrl.AuthType", "signatures are verified; what the caller's identity may do is not")
