"""The command line as a whole: global options, lazy commands, and how every error ends.

A command's module is imported only when it runs, so `--help` loads none of them.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from typing import Any, NoReturn

import click

from lambdaform.cli.context import Options
from lambdaform.cli.stacks import StackClass
from lambdaform.model.problem import Invalid, LambdaformError

_COMMANDS = {
    "validate": ("validate", "Check the declaration; nothing is called or downloaded."),
    "plan": ("plan", "Show what a deploy would change, from the recorded state; needs no credentials."),
    "diff": ("plan", "The same as plan, with every field of new resources."),
    "deploy": ("deploy", "Make AWS (or an endpoint) as declared."),
    "destroy": ("destroy", "Take everything away that was deployed; what holds data is kept unless asked."),
    "local": ("local", "Run the stack on a local AWS: deploy, follow the logs, reload on save."),
    "invoke": ("invoke", "Invoke a function with an event."),
    "event": ("event", "Print a sample event of a resource."),
    "trace": ("trace", "Show what every event caused on the local AWS."),
    "logs": ("logs", "Show a function's log lines."),
    "diagram": ("diagram", "Draw the architecture as SVG, PNG, DOT or Mermaid."),
    "docs": ("docs", "Write the stack as a Markdown page."),
}

EXIT_CODES = """\b
Exit codes:
  0   ok
  1   error
  2   changes pending (only with --detailed-exitcode)
  3   the declaration has problems
  4   another run holds the state
  5   partly deployed: the state is saved, run again to go on
  64  wrong usage
  130 interrupted
"""


class LazyGroup(click.Group):
    """Commands by name; each is imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of the road."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"lambdaform.cli.{_COMMANDS[cmd_name][0]}")
        return getattr(module, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in --help, from the table, so that no command is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name where one is close."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]}?", ctx) from None
            raise


def shared_options(command: Any) -> Any:
    """Options that may stand before or after the command's name."""
    options = [
        click.option("--stage", metavar="NAME", help="Which stage; the stack's default when not given."),
        click.option("--region", metavar="NAME", help="Which AWS region."),
        click.option("--profile", metavar="NAME", help="Which profile of AWS's configuration files."),
        click.option("--endpoint-url", metavar="URL", help="An endpoint that stands in for AWS."),
        click.option("-q", "--quiet", is_flag=True, help="Only data and errors."),
        click.option("-v", "--verbose", is_flag=True, help="Say more."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def take_shared(options: Options, given: dict[str, Any]) -> None:
    """Let options after the command's name overrule those before it."""
    for name in ("stage", "region", "profile", "endpoint_url"):
        if given.get(name) is not None:
            setattr(options, name, given[name])
    options.quiet = options.quiet or bool(given.get("quiet"))
    options.verbose = options.verbose or bool(given.get("verbose"))


def build(options: Options) -> click.Group:
    """The program of one stack."""
    stack = options.stack

    @click.group(
        cls=LazyGroup,
        name=stack.source_file().name,
        help=(stack.__doc__ or f"The stack {stack.stack_name()}.").strip().split("\n\n")[0],
        epilog=EXIT_CODES,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    @click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show it.")
    @shared_options
    @click.pass_context
    def program(context: click.Context, /, **given: Any) -> None:
        context.obj = options
        take_shared(context.obj, given)

    return program


def _show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """--version; asks for it only when wanted, because package metadata takes longer to read than --help."""
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"lambdaform {version('lambdaform')}")
        context.exit()


def colour_wanted() -> bool | None:
    """What the environment says about colour; None leaves it to whether there is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    if os.environ.get("TERM") == "dumb":
        return False
    return None


def show_error(error: LambdaformError) -> None:
    """An error on stderr, with what to do."""
    if isinstance(error, Invalid):
        from lambdaform.render.problems import problems_text

        click.echo(problems_text(error.problems), err=True)
        return
    click.echo(click.style("error: ", fg="red", bold=True) + error.message, err=True)
    if error.hint:
        click.echo("       " + error.hint, err=True)


def _terminated(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


def run(stack: StackClass, arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with one of the documented codes."""
    options = Options(stack)
    code = run_program(build(options), arguments)
    # Letting thousands of objects go one by one takes Python a tenth of the time of a plan. A circle that nobody looks
    # for any more is left to the system, which takes it back at once.
    circle: list[Any] = [options]
    circle.append(circle)
    gc.freeze()
    gc.disable()
    sys.exit(code)


def main() -> NoReturn:
    """The console command `lambdaform`, for what needs no stack."""
    from lambdaform.cli.init import init

    @click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
    @click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show it.")
    def program() -> None:
        """Declare an AWS Lambda architecture; check it, see it, run it here, deploy it.

        Everything about one stack is its own command: python stacks/app.py --help
        """

    program.add_command(init)
    sys.exit(run_program(program))


def run_program(program: click.Command, arguments: list[str] | None = None) -> int:
    """Run a program; gives the exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    # A plan of thousands of resources makes many objects and no garbage: collecting less often saves a fifth of it.
    gc.freeze()
    gc.set_threshold(1_000_000, 20, 20)
    gc.enable()
    try:
        result = program.main(arguments, standalone_mode=False, color=colour_wanted())
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        error.show()
        return 64
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; nothing was changed after this point", err=True)
        return 130
    except LambdaformError as error:
        show_error(error)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone, as with `| head`
        return 0
    except Exception as error:  # noqa: BLE001 - the one place where a bug becomes a message
        import traceback

        traceback.print_exc()
        click.echo(
            click.style("this is a bug in lambdaform: ", fg="red", bold=True)
            + f"{type(error).__name__}: {error}\n       please report it with the lines above",
            err=True,
        )
        return 1
