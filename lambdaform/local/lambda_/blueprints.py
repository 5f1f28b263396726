"""From a function version to what its environments are made of: code on disk, search path, environment variables.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html. Nothing of the host's own environment gets
in: no credentials, no AWS configuration, no PYTHON* variables.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import attrs

from lambdaform.local.lambda_ import platform_log
from lambdaform.local.lambda_.assemblies import Host, NoClient, NoHost, dotnet
from lambdaform.local.lambda_.blueprint import Blueprint
from lambdaform.local.lambda_.interpreters import Interpreter, dotnets, javas, node, pythons, ruby
from lambdaform.local.lambda_.interpreters import dotnet as dotnet_for
from lambdaform.local.lambda_.interpreters import java as java_for
from lambdaform.local.lambda_.launching import (
    CUSTOM,
    DOTNET,
    JAVA,
    NODE,
    PYTHON,
    RUBY,
    Launch,
    bootstrap,
    extensions,
    java,
    language_of,
    of_python,
    wrapped,
)
from lambdaform.local.lambda_.plane import Plane
from lambdaform.local.lambda_.processes import Spawner
from lambdaform.local.lambda_.shipped import DOTNET_CLIENT, JAVA_CLIENT
from lambdaform.local.lambda_.values import Function, Version
from lambdaform.local.ports import ACCOUNT, AwsFault

LANG = "/var/lang"
NO_JAVA_CLIENT = (
    "{} needs AWS's runtime client, com.amazonaws:aws-lambda-java-runtime-interface-client: in the package, in a "
    f"layer's java/lib, or with what it depends on in the folder that {JAVA_CLIENT} names when the local AWS starts"
)
NO_DOTNET_CLIENT = (
    "{} needs AWS's runtime client to load {}: Amazon.Lambda.RuntimeSupport.dll, built as a program, at the top of the "
    f"package or of a layer, or in the folder that {DOTNET_CLIENT} names when the local AWS starts{{}}; AWS's test "
    "tool brings it along (dotnet tool install -g Amazon.Lambda.TestTool), an executable assembly needs none"
)
HERE = f"python{sys.version_info.major}.{sys.version_info.minor}"
"""The runtime that this interpreter is."""


@attrs.frozen
class Places:
    """Where code, layers and the runtime are, as the handler sees them."""

    task: str = "/var/task"
    opt: str = "/opt"
    runtime: str = "/var/runtime"
    lang: str = LANG
    """The interpreter's prefix."""
    home: str | None = None
    """Set to a folder that is not there, where the user's own could be found otherwise."""


def why_not_run(version: Version) -> str | None:
    """Why a version's runtime is none this local AWS can run; None when it can."""
    language = language_of(version.runtime)
    if language is None:
        runs = "Python, Node.js, Ruby, Java, .NET and custom runtimes"
        return f"the local AWS runs {runs}, not {version.runtime or 'container images'}"
    for needing, name, program, is_missing in (
        (NODE, "Node.js", "node", node() is None),
        (RUBY, "Ruby", "ruby", ruby() is None),
        (JAVA, "Java", "java", not javas()),
    ):
        if language == needing and is_missing:
            return f"{version.runtime} needs {name}, and there is no {program} on the PATH of the local AWS"
    # One whose handler is just a name may be a program of its own: that is seen from its package.
    return no_dotnet(version.runtime) if language == DOTNET and ":" in version.handler else None


def no_dotnet(runtime: str) -> str | None:
    """Why there is no .NET for a runtime; None when there is one."""
    major = major_of(runtime)
    if dotnet_for(major) is not None:
        return None
    found = dotnets()
    if found:
        here = f"{found[max(found)].program} has .NET {max(found)} at most"
    else:
        here = "there is no dotnet on the PATH of the local AWS, in its usual places, nor in DOTNET_ROOT"
    return f"{runtime} needs .NET {major} or newer, and {here}: get it from https://dotnet.microsoft.com/download"


def major_of(runtime: str) -> int:
    """The version of Java or .NET in the name of a runtime, such as `java8.al2`."""
    return int(runtime.removeprefix(JAVA).removeprefix(DOTNET).partition(".")[0])


def not_run_here(why: str) -> AwsFault:
    """What an invocation of a runtime that is not run here answers."""
    return AwsFault("NotImplemented", f"{why}; the function was not run", status=501, type="Service")


class Blueprints:
    """Makes and remembers blueprints by generation."""

    def __init__(self, plane: Plane, spawner: Spawner, runtime: Path) -> None:
        self._plane = plane
        self._spawner = spawner
        self._runtime = runtime
        self._made: dict[str, Blueprint] = {}

    def known(self, version: Version) -> Blueprint | None:
        """The blueprint of a version, if it has been made."""
        return self._made.get(version.generation)

    async def of(self, function: Function, version: Version) -> Blueprint:
        """The blueprint of a version. Raises `AwsFault` when it cannot be run here."""
        made = self._made.get(version.generation)
        if made is None:
            made = await self._make(function, version)
            self._made[version.generation] = made
            while len(self._made) > 1000:
                del self._made[next(iter(self._made))]
        return made

    async def _make(self, function: Function, version: Version) -> Blueprint:
        why = why_not_run(version)
        if why is not None or version.code.key is None:
            raise not_run_here(why or "its code is not here")
        await self._spawner.start()  # only then it is known what it can do
        is_isolated = self._spawner.isolation == "namespaces"
        folder = await self._plane.codes.unpacked(version.code.key)
        keys: list[str] = []
        for arn in version.layers:
            layer = self._plane.layer_version(arn, with_deleted=True)
            if layer is not None and layer.code.key is not None:
                keys.append(layer.code.key)
        opt = await self._plane.codes.layered(keys)
        places = Places() if is_isolated else self._unisolated(folder, opt)
        language = language_of(version.runtime)
        python = of_python(version.runtime, own=HERE, found=pythons()) if language == PYTHON else None
        if python is not None and not is_isolated:
            places = attrs.evolve(places, lang=python.prefix)
        launch = self._launch(version, places, folder, opt, is_isolated=is_isolated)
        logging = version.logging
        style = platform_log.Style(
            format="JSON" if logging["LogFormat"] == "JSON" else "Text",
            system_level=_level(logging.get("SystemLogLevel")),
        )
        path = search_path(places, version.environment.get("PYTHONPATH"), python, version.runtime)
        if language != CUSTOM:
            program = Path(python.program).name if python is not None else _own_program()
            command = (f"{places.lang}/bin/{program}", "-S", f"{places.runtime}/bootstrap.py", os.pathsep.join(path))
            launch = wrapped(launch, version.environment.get("AWS_LAMBDA_EXEC_WRAPPER"), python=command)
        return Blueprint(
            name=function.name,
            arn=function.arn,
            version=version.number,
            runtime=runtime_version(version.runtime),
            region=function.region,
            memory_size=version.memory_size,
            timeout=float(version.timeout),
            log_group=logging["LogGroup"],
            log_style=style,
            environ={**environ(function, version, places, address=self._plane.address()), **launch.variables},
            folder=folder,
            opt=opt,
            path=path,
            interpreter=python.program if python is not None else None,
            launch=launch,
            handler=version.handler,
            extensions=extensions(opt),
            extensions_folder=f"{places.opt}/extensions",
            scratch=version.settings["EphemeralStorage"]["Size"],
            is_isolated=is_isolated,
            has_snapshot=version.has_snapshot,
        )

    def _launch(self, version: Version, places: Places, folder: Path, opt: Path | None, *, is_isolated: bool) -> Launch:
        """What a runtime starts with. Raises `AwsFault` when something for it is missing."""

        def program(found: Interpreter | None) -> str:
            assert found is not None, "looked for before"
            return found.inside if is_isolated else found.program

        match language_of(version.runtime):
            case "provided":
                return bootstrap(places.task, places.opt, folder, opt)
            case "nodejs":
                return Launch((program(node()), f"{places.runtime}/index.mjs"))
            case "ruby":
                return Launch((program(ruby()), f"{places.runtime}/bootstrap.rb"))
            case "java":
                major = major_of(version.runtime)
                client = self._runtime / "lib"
                launch = java(
                    program(java_for(major)),
                    version.handler,
                    memory=version.memory_size,
                    options=version.environment.get("JAVA_TOOL_OPTIONS", ""),
                    # Newer ones compile fully what is initialised ahead of its events.
                    has_fast_start=major >= 17 and not (major >= 25 and version.has_snapshot),
                    seen=(places.task, places.opt, places.runtime),
                    code=folder,
                    layers=opt,
                    client=client if client.is_dir() else None,
                )
                if launch is None:
                    raise not_run_here(NO_JAVA_CLIENT.format(version.runtime))
                return launch
            case "dotnet":
                return self._dotnet(version, places, folder, opt, is_isolated=is_isolated)
            case _:
                return Launch()

    def _dotnet(self, version: Version, places: Places, folder: Path, opt: Path | None, *, is_isolated: bool) -> Launch:
        major = major_of(version.runtime)
        found = dotnet_for(major)
        host = None
        if found is not None:
            program = found[1].inside if is_isolated else found[1].program
            host = Host(program, rolls_forward=found[0] != major)
        named = (self._runtime / "dotnet", f"{places.runtime}/dotnet")
        clients = [(place / f"net{major}.0", f"{shown}/net{major}.0") for place, shown in [named]]
        launch = dotnet(
            host,
            version.handler,
            memory=version.memory_size,
            environment=version.environment,
            code=(folder, places.task),
            clients=[*clients, named, *([(opt, places.opt)] if opt is not None else [])],
        )
        match launch:
            case Launch():
                return launch
            case NoHost():
                raise not_run_here(no_dotnet(version.runtime) or "bug in lambdaform: .NET was found, and is not there")
            case NoClient(library):
                found = f" ({library} is a library, without a Main)" if library else ""
                raise not_run_here(NO_DOTNET_CLIENT.format(version.runtime, version.handler, found))

    def _unisolated(self, folder: Path, opt: Path | None) -> Places:
        return Places(str(folder), str(opt or "/opt"), str(self._runtime), sys.base_prefix, "/home/sbx_user1051")


def _level(given: str | None) -> platform_log.SystemLevel:
    return "DEBUG" if given == "DEBUG" else "WARN" if given == "WARN" else "INFO"


def runtime_version(runtime: str) -> str:
    """A runtime as INIT_START names it: `python:3.13`, `nodejs:22`."""
    return re.sub(r"^([a-z]+)([\d.]+?)(\.x)?$", r"\1:\2", runtime)


def search_path(
    places: Places, extra: str | None, python: Interpreter | None = None, runtime: str = HERE
) -> Sequence[str]:
    """Code first, then layers, then what the runtime ships, then the standard library: Lambda's order."""
    name = HERE if python is None else runtime
    path = [places.task, f"{places.opt}/python/lib/{name}/site-packages", f"{places.opt}/python"]
    path += [part for part in (extra or "").split(os.pathsep) if part]
    path.append(places.runtime)
    if python is not None:
        return [*path, f"{places.lang}/lib/{name}", f"{places.lang}/lib/{name}/lib-dynload"]
    return [*path, *_own_library(places.lang)]


@lru_cache(maxsize=8)
def _own_library(lang: str) -> Sequence[str]:
    """This interpreter's standard library, seen from a place that its prefix is shown at."""
    standard = sysconfig.get_path("stdlib")
    standards = [standard, sysconfig.get_config_var("DESTSHARED") or os.path.join(standard, "lib-dynload")]  # noqa: PTH118
    prefix = Path(sys.base_prefix)
    # Elsewhere than under the interpreter's prefix they cannot be moved with it.
    return [
        str(Path(lang, Path(each).relative_to(prefix))) if Path(each).is_relative_to(prefix) else each
        for each in standards
    ]


@lru_cache(maxsize=1)
def _own_program() -> str:
    return Path(sys.executable).resolve().name


def environ(function: Function, version: Version, places: Places, *, address: str) -> Mapping[str, str]:
    """The variables Lambda sets, the function's own, and what keeps a handler inside the local AWS."""
    task, layers, runtime, lang = places.task, places.opt, places.runtime, places.lang
    variables = {
        "LANG": "en_US.UTF-8",
        "LC_CTYPE": "C.UTF-8",
        "TZ": ":UTC",
        "SHLVL": "0",
        "PATH": f"{lang}/bin:/usr/local/bin:/usr/bin/:/bin:{layers}/bin",
        "LD_LIBRARY_PATH": f"{lang}/lib:/lib64:/usr/lib64:{runtime}:{runtime}/lib:{task}:{task}/lib:{layers}/lib",
        **_of_language(version.runtime, places),
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        # A handler reaches the local AWS and nothing else: https endpoints of real services are never configured.
        "AWS_ENDPOINT_URL": address,
        "AWS_EC2_METADATA_DISABLED": "true",
        **({"HOME": places.home} if places.home else {}),
        **version.environment,
        "_HANDLER": version.handler,
        "AWS_REGION": function.region,
        "AWS_DEFAULT_REGION": function.region,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": version.number,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory_size),
        "AWS_LAMBDA_LOG_GROUP_NAME": version.logging["LogGroup"],
        "AWS_ACCESS_KEY_ID": access_key(function.account),
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
        "LAMBDA_TASK_ROOT": task,
        "LAMBDA_RUNTIME_DIR": runtime,
    }
    if version.has_snapshot:
        # Neither the log nor credentials may be part of a snapshot.
        for name in ("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            del variables[name]
        variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{address}/_lambdaform/credentials/{function.account}"
        variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "local"
    if language_of(version.runtime) != CUSTOM:
        variables["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{version.runtime}"
    logging = version.logging
    if logging["LogFormat"] == "JSON":
        variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        variables["AWS_LAMBDA_LOG_LEVEL"] = logging.get("ApplicationLogLevel", "INFO")
    return variables


def access_key(account: str) -> str:
    """The key handlers of an account use: the door reads an account out of one of twelve digits."""
    return "ASIALOCALLAMBDAFORM0" if account == ACCOUNT else account


def _of_language(runtime: str, places: Places) -> dict[str, str]:
    """The variables that differ from language to language."""
    match language_of(runtime):
        case "python":
            return {"PYTHONPATH": places.runtime, "PWD": places.task}
        case "nodejs":
            major = runtime.removeprefix(NODE).partition(".")[0]
            folders = [f"{places.opt}/nodejs/node{major}/node_modules", f"{places.opt}/nodejs/node_modules"]
            folders += [f"{places.runtime}/node_modules", places.runtime, places.task]
            return {"NODE_PATH": os.pathsep.join(folders), "PWD": places.task}
        case "ruby":
            gems = f"{runtime.removeprefix(RUBY)}.0"
            folders = [f"{places.task}/vendor/bundle/ruby/{gems}", f"{places.opt}/ruby/gems/{gems}", places.runtime]
            return {
                "GEM_HOME": places.runtime,
                "GEM_PATH": os.pathsep.join([*folders, f"{places.runtime}/ruby/{gems}"]),
                "RUBYLIB": os.pathsep.join([places.task, f"{places.runtime}/lib", f"{places.opt}/ruby/lib"]),
                "PWD": places.task,
            }
        case "java" | "dotnet":
            return {"PWD": places.task}
        case _:
            return {"PATH": f"/usr/local/bin:/usr/bin/:/bin:{places.opt}/bin"}
