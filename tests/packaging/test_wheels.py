"""Requirements come from wheels for the function's Python and processor, once, and say what is missing."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from lambdaform.model.code import PythonCode
from lambdaform.model.problem import Invalid, LambdaformError
from lambdaform.packaging.installer import failure
from lambdaform.packaging.packager import Packager
from lambdaform.packaging.requirements import Target, target_of
from tests.packaging.made import build, project, requirements, source, wheel
from tests.patience import PATIENCE

ARM = Target("3.13", "aarch64-manylinux_2_34")
ROOT = Path(__file__).parent.parent.parent


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


@pytest.mark.parametrize(
    ("runtime", "architecture", "platform"),
    [
        ("python3.13", "x86_64", "x86_64-manylinux_2_34"),
        ("python3.12", "arm64", "aarch64-manylinux_2_34"),
        ("python3.11", "x86_64", "x86_64-manylinux2014"),
    ],
)
def test_each_runtime_takes_what_its_c_library_takes(
    tmp_path: Path, runtime: str, architecture: str, platform: str
) -> None:
    target = target_of(build(requirements(tmp_path, ""), runtime=runtime, architecture=architecture))

    assert target == Target(runtime.removeprefix("python"), platform)


def test_no_wheel_for_the_target_names_the_requirement_its_line_and_the_target(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "speedy", "cp313-cp313-win_amd64")

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").contents(build(requirements(tmp_path, "speedy"), architecture="arm64"))

    [problem] = caught.value.problems
    assert problem.rule == "no-wheel"
    assert "speedy" in problem.what
    assert "(requirements.txt:3)" in problem.what
    assert problem.what.endswith("has no wheel for CPython 3.13 on arm64 Linux")
    assert problem.where is not None
    assert not list((tmp_path / "c").rglob("*speedy*"))
    assert not list((tmp_path / "c").rglob(".part-*"))


def test_all_problems_of_a_build_come_together(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "speedy", "cp313-cp313-win_amd64")
    code = requirements(tmp_path, "speedy", path=tmp_path / "no-such-folder")

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").contents(build(code))

    assert sorted(problem.rule for problem in caught.value.problems) == ["code-missing", "no-wheel"]


def test_installed_requirements_come_from_the_cache_the_second_time(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "plain")
    code = requirements(tmp_path, "plain")
    said: list[str] = []
    assert Packager(tmp_path / "c", say=said.append).ready(build(code)) is None
    assert said == []
    first = Packager(tmp_path / "c", say=said.append).contents(build(code, architecture="arm64"))
    again = Packager(tmp_path / "c", say=said.append).ready(build(code, architecture="arm64"))

    assert again == first
    assert said == ["installing 1 requirement for python3.13 arm64"]


def test_what_is_not_cached_is_still_looked_at_for_problems(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "plain")

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").ready(build(requirements(tmp_path, "plain", path=tmp_path / "gone")))

    assert [problem.rule for problem in caught.value.problems] == ["code-missing"]


def test_nothing_of_this_machine_is_installed_and_all_that_wheels_bring_is(tmp_path: Path) -> None:
    wheel(
        tmp_path / "wheels",
        "plain",
        files={
            "plain_venv/venv/__init__.py": "",
            "plain_venv/.gitignore": "",
            "plain_venv/fast.pyc": "",
            "plain-1.0.data/scripts/plain-tool": "#!python\n",
            "plain-1.0.data/scripts/plain-native": "\x7fELF",
            "plain-1.0.dist-info/entry_points.txt": "[console_scripts]\nplain = plain:main\n",
        },
    )
    package = Packager(tmp_path / "c").contents(build(requirements(tmp_path, "plain")))

    assert list(package.manifest()) == [
        "bin/plain-native",
        "plain-1.0.dist-info/METADATA",
        "plain-1.0.dist-info/WHEEL",
        "plain-1.0.dist-info/entry_points.txt",
        "plain.py",
        "plain_venv/.gitignore",
        "plain_venv/fast.pyc",
        "plain_venv/venv/__init__.py",
    ]


def test_two_machines_install_the_same(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "plain")
    code = requirements(tmp_path, "plain", path=source(tmp_path / "src"))
    one = Packager(tmp_path / "c1").archive(build(code))
    before = os.umask(0o077)
    try:
        two = Packager(tmp_path / "elsewhere" / "c2").archive(build(code))
    finally:
        os.umask(before)

    assert one.hash == two.hash
    assert one.archive is not None
    assert two.archive is not None
    assert one.archive.read_bytes() == two.archive.read_bytes()


def test_own_source_stands_over_a_package_of_the_same_name(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "plain")
    folder = source(tmp_path / "src")
    (folder / "plain.py").write_text("mine = True\n")
    packager, wanted = Packager(tmp_path / "c"), build(requirements(tmp_path, "plain", path=folder), prefix="python")
    packager.contents(wanted)

    assert packager.read(wanted, "python/plain.py") == b"mine = True\n"


def test_a_file_where_a_package_has_a_folder_is_a_problem(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "plain", files={"common/x.py": ""})
    folder = source(tmp_path / "src")
    (folder / "common").write_text("")

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").contents(build(requirements(tmp_path, "plain", path=folder)))

    assert [problem.rule for problem in caught.value.problems] == ["code-clash"]


def test_a_changed_nested_file_or_wheel_is_installed_again(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "plain")
    (tmp_path / "more.txt").write_text("plain\n")
    code = requirements(tmp_path, "-r more.txt")
    first = Packager(tmp_path / "c").contents(build(code))
    wheel(tmp_path / "wheels", "other", files={"other_too.py": ""})
    (tmp_path / "more.txt").write_text("plain\nother\n")
    second = Packager(tmp_path / "c").contents(build(code))
    wheel(tmp_path / "wheels", "other", files={"other_three.py": ""})
    third = Packager(tmp_path / "c").contents(build(code))

    assert "other_too.py" not in first.manifest()
    assert "other_too.py" in second.manifest()
    assert "other_three.py" in third.manifest()


def test_requirements_that_are_missing_are_a_problem_nested_ones_too(tmp_path: Path) -> None:
    for code in (PythonCode(requirements=tmp_path / "gone.txt"), requirements(tmp_path, "-r gone.txt")):
        with pytest.raises(Invalid) as caught:
            Packager(tmp_path / "c").contents(build(code))

        [problem] = caught.value.problems
        assert problem.rule == "requirements-missing"
        assert "gone.txt does not exist" in problem.what


def test_requirements_that_cannot_be_met_or_read_are_problems(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "plain")
    for text, rule in (("plain==2.0", "requirements-unsolvable"), ("plain ??", "requirements-unreadable")):
        with pytest.raises(Invalid) as caught:
            Packager(tmp_path / "c").contents(build(requirements(tmp_path, text)))

        assert [problem.rule for problem in caught.value.problems] == [rule]


def test_an_editable_requirement_is_a_problem_for_it_would_stay_on_this_machine(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").contents(build(requirements(tmp_path, "-e ./library")))

    [problem] = caught.value.problems
    assert problem.rule == "requirements-local"
    assert "requirements.txt:3" in problem.what


def _contents(root: str, cache: str) -> str:
    # A code object's identity does not leave its process; its files do.
    return Packager(Path(cache)).contents(build(requirements_of(Path(root)))).hash


def requirements_of(folder: Path) -> PythonCode:
    return PythonCode(requirements=folder / "requirements.txt")


def test_two_processes_may_fill_the_cache_at_once(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "plain")
    requirements(tmp_path, "plain")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        hashes = pool.starmap(_contents, [(str(tmp_path), str(tmp_path / "c"))] * 4, chunksize=1)

    assert len(set(hashes)) == 1
    assert len(list((tmp_path / "c" / "wheels").iterdir())) == 1


def test_an_entry_without_its_list_does_not_count_and_is_made_again(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "plain")
    code = requirements(tmp_path, "plain")
    first = Packager(tmp_path / "c").contents(build(code))
    [entry] = (tmp_path / "c" / "wheels").iterdir()
    (entry / "files.json").unlink()

    assert Packager(tmp_path / "c").ready(build(code)) is None
    assert Packager(tmp_path / "c").contents(build(code)) == first


def test_what_killed_processes_left_is_swept_and_what_others_work_on_is_not(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "plain")
    for name in (".part-old", ".part-new"):
        (tmp_path / "c" / "wheels" / name).mkdir(parents=True)
    os.utime(tmp_path / "c" / "wheels" / ".part-old", (5, 5))
    Packager(tmp_path / "c").contents(build(requirements(tmp_path, "plain")))

    assert [path.name for path in (tmp_path / "c" / "wheels").glob(".part-*")] == [".part-new"]


def test_offline_says_so_when_something_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("a-package-that-nobody-has-cached==1.0\n")

    with pytest.raises(LambdaformError) as caught:
        Packager(tmp_path / "c", offline=True).contents(build(requirements_of(tmp_path)))

    assert not isinstance(caught.value, Invalid)
    assert "downloading is off" in caught.value.message


# -- projects


def locked(
    folder: Path,
    *,
    dependencies: Sequence[str] = ("plain==1.0",),
    locked: Sequence[tuple[str, str]] = (("plain", "==1.0"),),
    requires: str = ">=3.11",
) -> PythonCode:
    """A project that needs `plain`, with a lock and a wheel of it."""
    wheel(folder / "wheels", "plain")
    return PythonCode(project=project(folder, dependencies=dependencies, locked=locked, requires=requires))


def test_a_projects_locked_packages_are_installed_without_a_network(tmp_path: Path) -> None:
    said: list[str] = []
    package = Packager(tmp_path / "c", say=said.append, offline=True).contents(build(locked(tmp_path / "shop")))

    assert "plain.py" in package.manifest()
    assert not any(file.path.startswith("shop") for file in package.files)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("dependencies", "requires", "rule"),
    [
        (["plain==1.0", "another>=2"], ">=3.11", "lock-outdated"),
        (["plain>=1.0"], ">=3.11", "lock-outdated"),
        (["plain==1.0"], ">=3.14", "project-python"),
    ],
)
def test_a_lock_that_is_not_the_projects_is_a_problem_before_anything_is_installed(
    tmp_path: Path, dependencies: list[str], requires: str, rule: str
) -> None:
    code = locked(tmp_path / "shop", dependencies=dependencies, requires=requires)

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").ready(build(code))

    assert [problem.rule for problem in caught.value.problems] == [rule]


def test_a_spelling_of_a_dependency_is_not_another_dependency(tmp_path: Path) -> None:
    code = locked(tmp_path / "shop", dependencies=["Plain < 2, >= 1"], locked=[("plain", ">=1,<2")])

    assert Packager(tmp_path / "c").ready(build(code)) is None


def test_a_project_without_a_lock_and_one_with_a_broken_lock_are_problems(tmp_path: Path) -> None:
    code = locked(tmp_path / "shop")
    (tmp_path / "shop" / "uv.lock").write_text("version = [")
    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").ready(build(code))
    assert [problem.rule for problem in caught.value.problems] == ["lock-unreadable"]

    (tmp_path / "shop" / "uv.lock").unlink()

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").ready(build(code))
    assert [problem.rule for problem in caught.value.problems] == ["lock-missing"]


def test_a_group_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    locked(tmp_path / "shop")
    code = PythonCode(project=tmp_path / "shop", groups=["jobs"])

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").contents(build(code))

    assert [problem.rule for problem in caught.value.problems] == ["group-missing"]


# -- uv's words, as it said them in November 2026 (uv 0.13.8)


@pytest.mark.parametrize(
    ("said", "rule", "what"),
    [
        (
            "error: No solution found when resolving dependencies\n  cause: Because all versions of uwsgi have no "
            "usable wheels and you require uwsgi, we can conclude that your requirements are unsatisfiable.\n\nhint: "
            "Wheels are required for `uwsgi` because building from source is disabled for all packages (i.e., with "
            "`--no-build`)",
            "no-wheel",
            "uwsgi has no wheel for CPython 3.13 on arm64 Linux",
        ),
        (
            "error: No solution found when resolving dependencies\n  cause: Because pywin32==306 has no wheels with a "
            "matching Python ABI tag (e.g., `cp313`) and you require pywin32==306, we can conclude that your "
            "requirements are unsatisfiable.\n\nhint: You require CPython 3.13 (`cp313`), but we only found wheels for "
            "`pywin32` (v306) with the following Python ABI tags: `cp37m`, `cp38`",
            "no-wheel",
            "pywin32 306 has no wheel for CPython 3.13 on arm64 Linux",
        ),
        (
            "Resolved 3 packages in 325ms\nerror: Building source distributions is disabled, but attempted to build "
            "`pathdep`",
            "no-wheel",
            "pathdep has no wheel for CPython 3.13 on arm64 Linux",
        ),
        (
            "error: Failed to download `six==1.17.0`\n  cause: Hash mismatch for `six==1.17.0`",
            "requirements-hash",
            "a package is not the one whose hash is written down",
        ),
        (
            "error: No solution found when resolving dependencies\n  cause: Because there is no version of six==9.9 "
            "and you require six==9.9, we can conclude that your requirements are unsatisfiable.",
            "requirements-unsolvable",
            "no set of packages meets the requirements for CPython 3.13 on arm64 Linux",
        ),
    ],
)
def test_what_the_user_can_mend_is_a_problem(said: str, rule: str, what: str) -> None:
    error = failure(said, PythonCode(), ARM, {})

    assert isinstance(error, Invalid)
    assert [(problem.rule, problem.what) for problem in error.problems] == [(rule, what)]


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("error: Request failed after 3 retries in 6.1s\n  cause: Failed to fetch: http://127.0.0.1:9/six/", "network"),
        ("error: Failed to install: x.whl\n  cause: No space left on device (os error 28)", "make room"),
        ("error: Something that uv has never said before", "mend what uv names"),
    ],
)
def test_a_world_that_fails_is_no_problem_of_the_declaration(said: str, hint: str) -> None:
    error = failure(said, PythonCode(), ARM, {})

    assert not isinstance(error, Invalid)
    assert hint in (error.hint or "")


# -- the package index itself


@pytest.mark.network
def test_a_binary_package_comes_for_arm64_whatever_machine_asks(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("markupsafe==3.0.2\n")
    package = Packager(tmp_path / "c").contents(build(requirements_of(tmp_path), architecture="arm64"))

    assert "markupsafe/_speedups.cpython-313-aarch64-linux-gnu.so" in package.manifest()


def test_ctrl_c_leaves_no_half_entry(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        # A wheel that never arrives: uv asks for it and waits until it is interrupted.
        address = f"http://127.0.0.1:{server.getsockname()[1]}/slow-1.0-py3-none-any.whl"
        code = requirements(tmp_path, f"slow @ {address}")
        program = (
            "from pathlib import Path\n"
            "from lambdaform.model.code import Build, PythonCode\n"
            "from lambdaform.packaging.packager import Packager\n"
            f"code = PythonCode(requirements={code.requirements!r})\n"
            f"Packager(Path({str(tmp_path / 'c')!r})).contents(Build(code, 'python3.13', 'arm64'))"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stderr is not None
            asked, _ = server.accept()
            with asked:
                os.killpg(process.pid, signal.SIGINT)
                said = process.stderr.read()
                process.wait(timeout=PATIENCE)

    assert process.returncode != 0
    assert "KeyboardInterrupt" in said or "was stopped" in said  # whichever of the two hears of it first
    assert (tmp_path / "c" / "wheels").is_dir()
    assert not [path for path in (tmp_path / "c").rglob("*") if path.name != "wheels"]
