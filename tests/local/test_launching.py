"""How runtimes that are programs are started, told from folders alone."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from lambdaform.local.lambda_.launching import JAVA_CLIENT, Launch, java

CLASS = f"{JAVA_CLIENT.replace('.', '/')}.class"
SEEN = ("/var/task", "/opt", "/var/runtime")


def archive(path: Path, *files: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as opened:
        for name in files:
            opened.writestr(name, "")


def launched(
    tmp_path: Path, *, options: str = "", client: Path | None = None, layers: Path | None = None, fast: bool = True
) -> Launch | None:
    return java(
        "/usr/bin/java",
        "shop.Worker::handle",
        memory=1000,
        options=options,
        has_fast_start=fast,
        seen=SEEN,
        code=tmp_path / "code",
        layers=layers,
        client=client,
    )


def arguments(launch: Launch | None) -> Sequence[str]:
    assert launch is not None
    return launch.arguments


def test_java_is_not_started_without_the_client(tmp_path: Path) -> None:
    archive(tmp_path / "code" / "lib" / "worker.jar", "shop/Worker.class")

    assert launched(tmp_path) is None


def test_the_client_may_be_unpacked_in_the_package(tmp_path: Path) -> None:
    file = tmp_path / "code" / CLASS
    file.parent.mkdir(parents=True)
    file.touch()

    found = arguments(launched(tmp_path))

    assert list(found[-4:]) == ["-cp", "/var/task/", JAVA_CLIENT, "shop.Worker::handle"]


def test_archives_are_on_the_class_path_in_alphabetical_order_layers_last(tmp_path: Path) -> None:
    archive(tmp_path / "code" / "lib" / "b.jar")
    archive(tmp_path / "code" / "lib" / "a.jar")
    (tmp_path / "code" / "lib" / "broken.jar").write_text("no archive")
    archive(tmp_path / "opt" / "java" / "lib" / "client.jar", CLASS)

    found = arguments(launched(tmp_path, layers=tmp_path / "opt"))

    path = ["/var/task/", "/var/task/lib/a.jar", "/var/task/lib/b.jar", "/var/task/lib/broken.jar"]
    assert found[found.index("-cp") + 1].split(":") == [*path, "/opt/java/lib/client.jar"]


def test_the_client_of_a_named_folder_comes_first(tmp_path: Path) -> None:
    archive(tmp_path / "code" / "lib" / "worker.jar")
    archive(tmp_path / "client" / "client.jar", CLASS)
    archive(tmp_path / "client" / "core.jar")

    found = arguments(launched(tmp_path, client=tmp_path / "client"))

    path = ["/var/runtime/lib/client.jar", "/var/runtime/lib/core.jar", "/var/task/", "/var/task/lib/worker.jar"]
    assert found[found.index("-cp") + 1].split(":") == path


@pytest.mark.parametrize(
    ("options", "fast", "flags"),
    [
        ("", True, ["-XX:MaxHeapSize=850m", "-XX:+UseSerialGC", "-XX:+TieredCompilation", "-XX:TieredStopAtLevel=1"]),
        ("", False, ["-XX:MaxHeapSize=850m", "-XX:+UseSerialGC"]),
        ("-Xmx100m -XX:+UseZGC", True, ["-XX:+TieredCompilation", "-XX:TieredStopAtLevel=1"]),
        ("-XX:MaxRAMPercentage=50 -XX:TieredStopAtLevel=4", True, ["-XX:+UseSerialGC"]),
    ],
)
def test_the_functions_own_options_take_the_place_of_ours(
    tmp_path: Path, options: str, fast: bool, flags: Sequence[str]
) -> None:
    archive(tmp_path / "code" / "lib" / "client.jar", CLASS)

    found = arguments(launched(tmp_path, options=options, fast=fast))

    assert list(found[1 : found.index("-cp")]) == flags
