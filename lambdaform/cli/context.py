"""What every command shares: the options given, the deployment they mean, and how things are said."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import attrs
import click

from lambdaform.cli.stacks import StackClass
from lambdaform.model.problem import Invalid, LambdaformError, Problem

if TYPE_CHECKING:
    from lambdaform.engine.deployment import Deployment
    from lambdaform.model.code import Package

Json = Any


@attrs.define(eq=False, repr=False)
class Options:
    """Options of the program itself."""

    stack: StackClass
    stage: str | None = None
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    quiet: bool = False
    verbose: bool = False
    made: list[Any] = attrs.field(factory=list[Any])
    """What commands have made that is large; it lasts as long as the process."""

    def say(self, message: str) -> None:
        """Talk, on stderr."""
        if not self.quiet:
            click.echo(message, err=True)

    def chosen_region(self) -> str | None:
        """The region from flag, environment, profile or stack; None when nobody names one."""
        return (
            self.region
            or os.environ.get("AWS_REGION")
            or os.environ.get("AWS_DEFAULT_REGION")
            or self.stack.default_region
            or _profile_region(self.profile or os.environ.get("AWS_PROFILE"))
        )

    def deployment(self, *, endpoint: str | None = None, state_endpoint: str | None = None) -> Deployment:
        """The deployment these options mean. Raises `LambdaformError` when there is no region to be found."""
        from lambdaform.aws.endpoint import LOCAL_REGION, is_aws, is_loopback
        from lambdaform.engine.deployment import Deployment, project_root

        endpoint = endpoint or self.endpoint()
        region = self.chosen_region() or (LOCAL_REGION if is_loopback(endpoint) else None)
        if region is None:
            raise LambdaformError(
                "no region is named anywhere",
                hint="give --region, set AWS_REGION, or write default_region = ... in the stack",
            )
        instance = self.stack(self.stage or os.environ.get("LAMBDAFORM_STAGE"), region)
        deployment = Deployment(
            instance.graph(),
            project_root(self.stack.source_file()),
            account=self.stack.account if endpoint is None or is_aws(endpoint) else None,
            endpoint=state_endpoint or endpoint,
            say=self.say,
        )
        self.made.append(deployment)
        return deployment

    def endpoint(self) -> str | None:
        """What stands in for AWS, by flag or environment. Raises `LambdaformError` when it is no address."""
        endpoint = self.endpoint_url or os.environ.get("AWS_ENDPOINT_URL") or None
        if endpoint is None:
            return None
        from lambdaform.aws.endpoint import flaw_of

        flaw = flaw_of(endpoint)
        if flaw is not None:
            given = "--endpoint-url" if self.endpoint_url else "AWS_ENDPOINT_URL"
            raise LambdaformError(f"{given} {endpoint!r} is no address of an endpoint", hint=flaw)
        return endpoint


def chain(options: Options) -> list[StackClass]:
    """The stacks to deploy for these options, in order: those that the stack needs, then the stack."""
    from lambdaform.engine.order import needed_stacks

    region = options.chosen_region() or "us-east-1"
    return needed_stacks(options.stack, lambda stack: stack(options.stage, region).graph())


def _profile_region(profile: str | None) -> str | None:
    """The region in AWS's configuration file, read without boto3 so that a plan stays quick."""
    path = os.path.expanduser(os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"))  # noqa: PTH111 - nothing to import
    if not os.path.exists(path):  # noqa: PTH110
        return None
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return None
    section = "default" if profile in (None, "default") else f"profile {profile}"
    return parser.get(section, "region", fallback=None)


def checked(
    options: Options, deployment: Deployment, *, as_json: bool = False, only_ready: bool = False
) -> dict[str, Package]:
    """Package and check; shows warnings, and raises `Invalid` when there are errors."""
    from lambdaform.engine.deployment import errors_of

    packages, found = deployment.packages(only_ready=only_ready)
    problems = deployment.check(packages, found)
    errors = errors_of(problems)
    if errors:
        raise Invalid(problems)
    if problems and not as_json:
        show_problems(options, problems)
    return packages


def show_problems(options: Options, problems: list[Problem]) -> None:
    """Problems on stderr."""
    if options.quiet:
        return
    from lambdaform.render.problems import problems_text

    click.echo(problems_text(problems), err=True)


def log_text(message: str) -> str:
    """A log event for people: AWS's clients end the lines within one by a carriage return, which a terminal obeys."""
    return message.rstrip().replace("\r\n", "\n").replace("\r", "\n")


def print_json(document: Json) -> None:
    """One document on stdout."""
    click.echo(json.dumps(document, indent=2, default=str))


def print_line(document: Json) -> None:
    """One line of NDJSON on stdout."""
    click.echo(json.dumps(document, default=str))


def can_ask() -> bool:
    """Whether there is somebody to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not os.environ.get("CI")


def confirm(question: str, *, yes: bool, as_json: bool) -> None:
    """Ask before changing something. Raises `LambdaformError` when nobody can answer, and `click.Abort` on no."""
    if yes:
        return
    if as_json or not can_ask():
        raise LambdaformError("this changes things, and there is nobody to ask", hint="give --yes to go on unasked")
    click.confirm(question, abort=True, err=True)
