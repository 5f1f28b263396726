"""How functions of .NET are started, told from folders alone."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lambdaform.local.lambda_.assemblies import CLIENTS, Host, NoClient, NoHost, dotnet, is_program
from lambdaform.local.lambda_.interpreters import dotnets_in
from lambdaform.local.lambda_.launching import Launch, wrapped

HANDLER = "Shop::Shop.Worker::Handle"
HOST = Host("/usr/share/dotnet/dotnet", rolls_forward=False)
PUBLISHED = ("Shop.dll", "Shop.deps.json", "Shop.runtimeconfig.json")


def assembly(*, has_main: bool, is_wide: bool = True) -> bytes:
    """What a PE file needs to tell whether it is a program: its headers, one section, and in it the CLI's header."""
    optional = bytearray(240 if is_wide else 224)
    struct.pack_into("<H", optional, 0, 0x20B if is_wide else 0x10B)
    struct.pack_into("<II", optional, (112 if is_wide else 96) + 14 * 8, 0x2008, 72)
    section = struct.pack("<8sIIII16x", b".text", 0x200, 0x2000, 0x200, 0x200)
    start = bytearray(0x40)
    struct.pack_into("<I", start, 0x3C, 0x40)
    head = bytes(start) + b"PE\0\0" + struct.pack("<HH12xHH", 0x14C, 1, len(optional), 0) + bytes(optional) + section
    cli = struct.pack("<IHHIIII", 72, 2, 5, 0, 0, 1, 0x06000001 if has_main else 0)
    return head.ljust(0x208, b"\0") + cli


def package(folder: Path, *names: str, clients: Sequence[str] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("{}")
    for name in clients:
        (folder / name).write_bytes(assembly(has_main=True))
    return folder


def launched(
    code: Path,
    handler: str = HANDLER,
    *,
    host: Host | None = HOST,
    environment: Mapping[str, str] | None = None,
    clients: Sequence[tuple[Path, str]] = (),
) -> Launch | NoHost | NoClient:
    return dotnet(host, handler, memory=1000, environment=environment or {}, code=(code, "/var/task"), clients=clients)


def started(found: Launch | NoHost | NoClient) -> Launch:
    assert isinstance(found, Launch)
    return found


def test_a_library_is_loaded_by_the_client_with_the_packages_own_dependencies(tmp_path: Path) -> None:
    found = started(launched(package(tmp_path, *PUBLISHED, clients=CLIENTS[:1])))

    assert found.arguments == (
        "/usr/share/dotnet/dotnet",
        "exec",
        "--depsfile",
        "/var/task/Shop.deps.json",
        "--runtimeconfig",
        "/var/task/Shop.runtimeconfig.json",
        "/var/task/Amazon.Lambda.RuntimeSupport.dll",
        HANDLER,
    )
    assert found.variables["DOTNET_ROOT"] == "/usr/share/dotnet"


def test_clients_are_taken_from_the_first_folder_that_has_one(tmp_path: Path) -> None:
    code = package(tmp_path / "code", *PUBLISHED, clients=CLIENTS)
    empty = package(tmp_path / "empty")
    layer = package(tmp_path / "layer", clients=CLIENTS[1:])

    found = started(launched(code, clients=[(empty, "/var/runtime/dotnet"), (layer, "/opt")]))

    assert found.arguments[-2] == "/opt/Amazon.Lambda.RuntimeSupport.TestTool.dll"


def test_a_client_that_is_a_library_itself_is_passed_over_and_named(tmp_path: Path) -> None:
    code = package(tmp_path, *PUBLISHED)
    (code / CLIENTS[0]).write_bytes(assembly(has_main=False))

    assert launched(code) == NoClient("/var/task/Amazon.Lambda.RuntimeSupport.dll")
    assert launched(package(tmp_path / "none", *PUBLISHED)) == NoClient()


@pytest.mark.parametrize("is_wide", [True, False])
@pytest.mark.parametrize("has_main", [True, False])
def test_a_program_is_told_from_a_library_by_its_entry_point(tmp_path: Path, has_main: bool, is_wide: bool) -> None:
    (tmp_path / "a.dll").write_bytes(assembly(has_main=has_main, is_wide=is_wide))

    assert is_program(tmp_path / "a.dll") == has_main


@pytest.mark.parametrize("content", [b"", b"MZ", b"x" * 64, assembly(has_main=False)[:0x20A]])
def test_an_assembly_that_cannot_be_read_is_left_to_dotnet(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.dll").write_bytes(content)

    assert is_program(tmp_path / "a.dll")


def test_the_main_assembly_may_be_named_by_a_variable(tmp_path: Path) -> None:
    code = package(tmp_path, *PUBLISHED, "Main.dll", "Main.deps.json", "Main.runtimeconfig.json", clients=CLIENTS[:1])

    found = started(launched(code, environment={"LAMBDA_DOTNET_MAIN_ASSEMBLY": "Main.dll"}))

    assert found.arguments[3:6:2] == ("/var/task/Main.deps.json", "/var/task/Main.runtimeconfig.json")


def test_the_only_files_of_their_kind_serve_whatever_their_name(tmp_path: Path) -> None:
    code = package(tmp_path, "Shop.dll", "Other.deps.json", "Other.runtimeconfig.json", clients=CLIENTS[:1])

    assert started(launched(code)).arguments[3:6:2] == (
        "/var/task/Other.deps.json",
        "/var/task/Other.runtimeconfig.json",
    )


@pytest.mark.parametrize(
    ("handler", "files", "status"),
    [
        ("Shop", (), 104),
        (HANDLER, ("Shop.dll",), 105),
        (HANDLER, ("Shop.dll", "a.deps.json", "b.deps.json", "Shop.runtimeconfig.json"), 105),
        (HANDLER, ("Shop.dll", "Shop.deps.json"), 106),
    ],
)
@pytest.mark.parametrize("host", [HOST, None])
def test_a_package_that_lacks_a_file_ends_its_runtime_with_awss_status(
    tmp_path: Path, handler: str, files: Sequence[str], status: int, host: Host | None
) -> None:
    found = started(launched(package(tmp_path, *files), handler, host=host))

    assert found.arguments[2].endswith(f"exit {status}")


@pytest.mark.parametrize("handler", ["Shop", "Shop.dll"])
def test_an_executable_assembly_needs_no_client(tmp_path: Path, handler: str) -> None:
    found = started(launched(package(tmp_path, "Shop.dll", "Shop"), handler))

    assert found.arguments == ("/usr/share/dotnet/dotnet", "exec", "/var/task/Shop.dll")


def test_a_native_program_needs_no_dotnet(tmp_path: Path) -> None:
    assert started(launched(package(tmp_path, "bootstrap"), "bootstrap", host=None)).arguments == (
        "/var/task/bootstrap",
    )


@pytest.mark.parametrize("handler", ["Shop", HANDLER])
def test_an_assembly_is_not_started_without_dotnet(tmp_path: Path, handler: str) -> None:
    assert launched(package(tmp_path, *PUBLISHED, clients=CLIENTS[:1]), handler, host=None) == NoHost()


def test_a_newer_dotnet_is_told_to_take_older_assemblies(tmp_path: Path) -> None:
    newer = Host("/opt/dotnet/dotnet", rolls_forward=True)

    found = started(launched(package(tmp_path, "Shop.dll"), "Shop", host=newer))

    assert found.arguments[1:] == ("exec", "--roll-forward", "Major", "/var/task/Shop.dll")


@pytest.mark.parametrize(
    ("config", "environment", "limit"),
    [
        ("{}", {}, hex(850 * 1024 * 1024)),
        ('{"configProperties": {"System.GC.HeapHardLimitPercent": 50}}', {}, None),
        ("{}", {"DOTNET_GCHeapHardLimit": "0x1000000"}, None),
    ],
)
def test_the_heap_goes_with_the_memory_unless_the_function_says_otherwise(
    tmp_path: Path, config: str, environment: Mapping[str, str], limit: str | None
) -> None:
    code = package(tmp_path, "Shop.dll")
    (code / "Shop.runtimeconfig.json").write_text(config)

    found = started(launched(code, "Shop", environment=environment))

    assert found.variables.get("DOTNET_GCHeapHardLimit") == limit


def test_a_wrapper_keeps_the_variables_of_what_it_starts(tmp_path: Path) -> None:
    found = wrapped(started(launched(package(tmp_path, "Shop.dll"), "Shop")), "/opt/wrapper", python=())

    assert found.arguments[:3] == ("/opt/wrapper", "/usr/share/dotnet/dotnet", "exec")
    assert "DOTNET_ROOT" in found.variables


def test_dotnet_is_known_by_the_runtimes_beside_it(tmp_path: Path) -> None:
    for folder, versions in (("a", ("8.0.11", "9.0.0-rc.2")), ("b", ("8.0.20", "10.0.1")), ("c", ())):
        for version in versions:
            (tmp_path / folder / "shared" / "Microsoft.NETCore.App" / version).mkdir(parents=True)
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "dotnet").write_text("#!/bin/sh")
        (tmp_path / folder / "dotnet").chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "dotnet").symlink_to(tmp_path / "b" / "dotnet")

    found = dotnets_in([tmp_path / "missing", tmp_path / "c", tmp_path / "a", tmp_path / "bin"])

    place = Path(tmp_path).resolve()
    assert {major: each.prefix for major, each in found.items()} == {
        8: str(place / "a"),
        9: str(place / "a"),
        10: str(place / "b"),
    }
    assert (found[10].program, found[10].inside) == (str(place / "b" / "dotnet"), "/var/lang-dotnet10/dotnet")
