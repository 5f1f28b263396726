"""Packages are the same for the same input, readable by Lambda, and say what is wrong with their source."""

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lambdaform.model.code import Build, Code, PythonCode
from lambdaform.model.problem import Invalid
from lambdaform.packaging.archive import code_sha256
from lambdaform.packaging.packager import Packager
from lambdaform.packaging.sizes import size_map

ROOT = Path(__file__).parent.parent.parent


def source(folder: Path, *, umask: int = 0o022, mtime: int = 1_000_000_000) -> Path:
    """A small source tree, made under a umask and dated as asked."""
    before = os.umask(umask)
    try:
        (folder / "app").mkdir(parents=True)
        (folder / "app" / "__init__.py").write_text("")
        (folder / "app" / "worker.py").write_text("def handler(event, context): ...\n")
        (folder / "app" / "__pycache__").mkdir()
        (folder / "app" / "__pycache__" / "worker.pyc").write_bytes(os.urandom(8))
        (folder / ".env").write_text("SECRET=hunter2")
        run = folder / "run.sh"
        run.write_text("#!/bin/sh\n")
        run.chmod(0o700)
    finally:
        os.umask(before)
    for path in folder.rglob("*"):
        os.utime(path, (mtime, mtime))
    return folder


def build(code: Code, *, runtime: str = "python3.13", architecture: str = "x86_64", prefix: str = "") -> Build:
    return Build(code, runtime, architecture, prefix)


def archive(cache: Path, code: Code) -> Path:
    made = Packager(cache).archive(build(code)).archive
    assert made is not None
    return made


def test_two_folders_with_other_umasks_and_dates_come_to_the_same_bytes(tmp_path: Path) -> None:
    one = archive(tmp_path / "c1", Code(source(tmp_path / "a", umask=0o022, mtime=1_000_000_000)))
    two = archive(tmp_path / "c2", Code(source(tmp_path / "b", umask=0o077, mtime=1_700_000_000)))

    assert one.read_bytes() == two.read_bytes()


def test_lambda_can_read_every_file_and_run_what_was_executable(tmp_path: Path) -> None:
    with zipfile.ZipFile(archive(tmp_path / "c", Code(source(tmp_path / "a", umask=0o077)))) as made:
        modes = {info.filename: (info.external_attr >> 16) & 0o777 for info in made.infolist()}

    assert modes == {"app/__init__.py": 0o644, "app/worker.py": 0o644, "run.sh": 0o755}


def test_secrets_and_caches_never_get_into_a_package(tmp_path: Path) -> None:
    package = Packager(tmp_path / "c").contents(build(Code(source(tmp_path / "a"))))

    assert [file.path for file in package.files] == ["app/__init__.py", "app/worker.py", "run.sh"]


def test_the_hash_is_the_same_under_every_python_there_is(tmp_path: Path) -> None:
    code = source(tmp_path / "a")
    program = (
        "import sys; from pathlib import Path\n"
        "from lambdaform.model.code import Build, Code\n"
        "from lambdaform.packaging.packager import Packager\n"
        f"build = Build(Code({str(code)!r}), 'python3.13', 'x86_64')\n"
        f"print(Packager(Path({str(tmp_path / 'c')!r})).contents(build).hash)"
    )
    site = next(path for path in sys.path if path.endswith("site-packages"))
    found = {sys.executable}
    found |= {str(path) for path in Path("~/.pyenv/versions").expanduser().glob("3.1[1-9].*/bin/python")}
    hashes = {
        subprocess.run(
            [python, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONPATH": f"{ROOT}:{site}", "PATH": "/usr/bin:/bin"},
        ).stdout
        for python in found
    }

    assert len(hashes) == 1


def test_a_changed_file_is_another_hash_and_a_new_date_is_not(tmp_path: Path) -> None:
    folder = source(tmp_path / "a")
    before = Packager(tmp_path / "c").contents(build(Code(folder))).hash
    os.utime(folder / "run.sh", (5, 5))
    assert Packager(tmp_path / "c").contents(build(Code(folder))).hash == before

    (folder / "run.sh").write_text("#!/bin/bash\n")

    assert Packager(tmp_path / "c").contents(build(Code(folder))).hash != before


def test_patterns_leave_files_out(tmp_path: Path) -> None:
    folder = source(tmp_path / "a")
    (folder / ".lambdaformignore").write_text("run.sh\n")
    package = Packager(tmp_path / "c").contents(build(Code(folder, exclude=["app/__init__.py"])))

    assert [file.path for file in package.files] == ["app/worker.py"]


def test_a_layers_files_stand_under_its_prefix(tmp_path: Path) -> None:
    package = Packager(tmp_path / "c").contents(build(Code(source(tmp_path / "a")), prefix="python"))

    assert all(file.path.startswith("python/") for file in package.files)


def test_a_ready_made_zip_is_packed_again_the_same_way(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as made:
        made.writestr("b.txt", "b")
        made.writestr("a.txt", "a")
    with zipfile.ZipFile(archive(tmp_path / "c", Code(tmp_path / "made.zip"))) as packed:
        assert packed.namelist() == ["a.txt", "b.txt"]


def test_code_sha256_is_what_aws_answers(tmp_path: Path) -> None:
    path = archive(tmp_path / "c", Code(source(tmp_path / "a")))

    assert code_sha256(path) == base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()


def test_a_link_out_of_the_folder_and_one_to_nothing_are_problems_shown_together(tmp_path: Path) -> None:
    folder = source(tmp_path / "a")
    (tmp_path / "outside.txt").write_text("x")
    (folder / "out").symlink_to(tmp_path / "outside.txt")
    (folder / "gone").symlink_to(folder / "nothing")

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").contents(build(Code(folder)))

    assert sorted(problem.rule for problem in caught.value.problems) == ["code-unreadable", "symlink-outside"]


def test_a_folder_that_is_missing_is_a_problem_on_the_users_line(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        Packager(tmp_path).contents(build(Code("no-such-folder")))

    [problem] = caught.value.problems
    assert problem.rule == "code-missing"
    assert problem.where is not None
    assert problem.where.file == __file__


def test_requirements_that_are_missing_are_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        Packager(tmp_path).contents(build(PythonCode(requirements=tmp_path / "requirements.txt")))

    assert [problem.rule for problem in caught.value.problems] == ["requirements-missing"]


def wheel(folder: Path, name: str, tag: str) -> None:
    """A wheel with one module, made by hand."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1.0-{tag}.whl", "w") as made:
        info = f"{name}-1.0.dist-info"
        made.writestr(f"{name}.py", f"TAG = {tag!r}\n")
        made.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        made.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n")
        made.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def requirements(folder: Path, text: str) -> PythonCode:
    path = folder / "requirements.txt"
    path.write_text(f"--no-index\n--find-links {folder / 'wheels'}\n{text}\n")
    return PythonCode(requirements=path)


def test_the_wheel_for_the_functions_processor_is_chosen(tmp_path: Path) -> None:
    for processor in ("x86_64", "aarch64"):
        wheel(tmp_path / "wheels", "speedy", f"cp313-cp313-manylinux_2_17_{processor}")
    code = requirements(tmp_path, "speedy")
    packager = Packager(tmp_path / "c")

    for architecture, processor in (("x86_64", "x86_64"), ("arm64", "aarch64")):
        made = packager.archive(build(code, architecture=architecture)).archive
        assert made is not None
        with zipfile.ZipFile(made) as packed:
            assert processor in packed.read("speedy.py").decode()


def test_no_wheel_for_the_target_stops_with_the_target_in_words(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "speedy", "cp313-cp313-win_amd64")

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").contents(build(requirements(tmp_path, "speedy"), architecture="arm64"))

    [problem] = caught.value.problems
    assert problem.rule == "no-wheel"
    assert "CPython 3.13 on arm64 Linux" in problem.what
    assert problem.what.startswith("speedy")
    assert not list((tmp_path / "c").rglob("speedy*"))


def test_installed_requirements_come_from_the_cache_the_second_time(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "plain", "py3-none-any")
    code = requirements(tmp_path, "plain")
    said: list[str] = []
    assert Packager(tmp_path / "c").ready(build(code)) is None
    first = Packager(tmp_path / "c", say=said.append).contents(build(code))
    again = Packager(tmp_path / "c", say=said.append).ready(build(code))

    assert again == first
    assert len(said) == 1
    assert not any(file.path.endswith(("RECORD", "INSTALLER", "direct_url.json")) for file in first.files)


def test_the_biggest_folders_are_named_first(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for name, size in (("small/x/one", 10), ("big/y/two", 1000)):
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * size)
    package = Packager(tmp_path / "c").contents(build(Code(folder)))

    assert size_map(package)[0] == ("big/y/", 1000)
