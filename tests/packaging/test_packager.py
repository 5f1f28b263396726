"""Packages are the same for the same input, readable by Lambda, and say what is wrong with their source."""

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lambdaform.model.code import Code, PythonCode
from lambdaform.model.problem import Invalid, LambdaformError
from lambdaform.packaging.archive import code_sha256
from lambdaform.packaging.packager import Packager
from lambdaform.packaging.sizes import size_map, size_text
from tests.packaging.made import build, source

ROOT = Path(__file__).parent.parent.parent


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


def pythons() -> list[str]:
    """This Python, and the others of the machine that lambdaform supports."""
    found = {sys.executable}
    for each in Path("~/.pyenv/versions").expanduser().glob("3.1[1-9].*/bin/python"):
        found.add(str(each))
    return sorted(found)


def under(python: str, folder: Path, cache: Path, wanted: str) -> str:
    """What the packager of another Python says of a folder."""
    program = (
        "from pathlib import Path\n"
        "from lambdaform.model.code import Build, Code\n"
        "from lambdaform.packaging.packager import Packager\n"
        f"build = Build(Code({str(folder)!r}), 'python3.13', 'x86_64')\n"
        f"print(Packager(Path({str(cache)!r})).{wanted})"
    )
    site = next(path for path in sys.path if path.endswith("site-packages"))
    environment = {"PYTHONPATH": f"{ROOT}:{site}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip()


def test_the_hash_is_the_same_under_every_python_there_is(tmp_path: Path) -> None:
    found = pythons()
    if len(found) < 2:
        pytest.skip("there is no other Python on this machine")
    code = source(tmp_path / "a")

    assert len({under(python, code, tmp_path / "c", "contents(build).hash") for python in found}) == 1


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


def test_the_biggest_folders_are_named_first(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for name, size in (("small/x/one", 10), ("big/y/two", 1000)):
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * size)
    package = Packager(tmp_path / "c").contents(build(Code(folder)))

    assert size_map(package)[0] == ("big/y/", 1000)


def test_the_biggest_folders_of_a_layer_are_named_below_its_prefix(tmp_path: Path) -> None:
    folder = source(tmp_path / "a")
    (folder / "app" / "model.bin").write_bytes(bytes(3_000_000))
    package = Packager(tmp_path / "c").contents(build(Code(folder), prefix="python"))

    assert size_text(package, most=1).splitlines() == ["   2.9 MB  python/app/", "     10 B  in other files"]


def test_the_bytes_are_the_same_under_every_python_with_the_same_zlib(tmp_path: Path) -> None:
    code = source(tmp_path / "a")
    made: dict[str, set[bytes]] = {}
    for number, python in enumerate(sorted(pythons())):
        path = Path(under(python, code, tmp_path / f"c{number}", "archive(build).archive"))
        made.setdefault(path.name, set()).add(path.read_bytes())

    assert all(len(contents) == 1 for contents in made.values())


def test_a_virtual_environment_is_left_out_whatever_its_name_and_a_module_called_venv_is_not(tmp_path: Path) -> None:
    folder = source(tmp_path / "a")
    for name, file in (("env311", "pyvenv.cfg"), ("app/venv", "__init__.py")):
        (folder / name).mkdir()
        (folder / name / file).write_text("")
    paths = Packager(tmp_path / "c").contents(build(Code(folder))).manifest()

    assert "app/venv/__init__.py" in paths
    assert "env311/pyvenv.cfg" not in paths


def test_node_modules_belong_to_plain_code_and_not_to_python_code(tmp_path: Path) -> None:
    folder = source(tmp_path / "a")
    (folder / "node_modules" / "left-pad").mkdir(parents=True)
    (folder / "node_modules" / "left-pad" / "index.js").write_text("")
    packager = Packager(tmp_path / "c")

    assert "node_modules/left-pad/index.js" in packager.contents(build(Code(folder), runtime="nodejs24.x")).manifest()
    assert "node_modules/left-pad/index.js" not in packager.contents(build(PythonCode(folder))).manifest()


def test_exclude_takes_back_what_the_ignore_file_leaves_out(tmp_path: Path) -> None:
    folder = source(tmp_path / "a")
    (folder / ".lambdaformignore").write_text("*.sh\n/app/*\n")
    package = Packager(tmp_path / "c").contents(build(Code(folder, exclude=["!run.sh"])))

    assert [file.path for file in package.files] == ["run.sh"]


def test_a_pattern_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").contents(build(Code(source(tmp_path / "a"), exclude=["!"])))

    assert [problem.rule for problem in caught.value.problems] == ["exclude-pattern"]


def test_a_link_inside_the_folder_is_followed_and_a_circle_of_links_ends(tmp_path: Path) -> None:
    folder = source(tmp_path / "a")
    (folder / "alias.py").symlink_to("app/worker.py")
    (folder / "app" / "up").symlink_to("..")
    package = Packager(tmp_path / "c").contents(build(Code(folder)))

    assert package.manifest()["alias.py"] == package.manifest()["app/worker.py"]
    assert not any(file.path.startswith("app/up/") for file in package.files)


def test_a_link_does_not_bring_a_secret_in_under_another_name(tmp_path: Path) -> None:
    folder = source(tmp_path / "a")
    (folder / "settings").symlink_to(".env")

    assert "settings" not in Packager(tmp_path / "c").contents(build(Code(folder))).manifest()


def test_a_link_to_itself_is_a_problem_unless_it_is_excluded(tmp_path: Path) -> None:
    folder = source(tmp_path / "a")
    (folder / "round").symlink_to("round")

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").contents(build(Code(folder)))
    assert [problem.rule for problem in caught.value.problems] == ["code-unreadable"]

    assert Packager(tmp_path / "c").contents(build(Code(folder, exclude=["round"])))


def test_a_name_that_is_no_utf8_is_a_problem(tmp_path: Path) -> None:
    folder = source(tmp_path / "a")
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")).write_text("")
    except OSError:
        pytest.skip("this file system takes no such name")

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").contents(build(Code(folder)))

    assert [problem.rule for problem in caught.value.problems] == ["code-unreadable"]


def test_a_file_that_changes_after_its_hash_was_taken_stops_the_archive(tmp_path: Path) -> None:
    folder = source(tmp_path / "a")
    packager, wanted = Packager(tmp_path / "c"), build(Code(folder))
    packager.contents(wanted)
    (folder / "run.sh").write_text("#!/bin/other\n")

    with pytest.raises(LambdaformError, match=r"run\.sh changed while it was being packed"):
        packager.archive(wanted)

    assert not list((tmp_path / "c" / "archives").iterdir())


def test_a_cache_that_cannot_be_written_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file where the cache should be")

    with pytest.raises(LambdaformError) as caught:
        Packager(tmp_path / "c").archive(build(Code(source(tmp_path / "a"))))

    assert caught.value.hint is not None


def test_the_same_code_in_many_builds_is_read_once(tmp_path: Path) -> None:
    folder = source(tmp_path / "a")
    packager, code = Packager(tmp_path / "c"), Code(folder)
    first = packager.contents(build(code))
    (folder / "run.sh").unlink()

    assert packager.contents(build(code, runtime="nodejs24.x", architecture="arm64")) is first


def test_an_archive_in_the_cache_is_not_written_again(tmp_path: Path) -> None:
    code = Code(source(tmp_path / "a"))
    made = archive(tmp_path / "c", code)
    os.utime(made, (5, 5))

    assert archive(tmp_path / "c", Code(tmp_path / "a")).stat().st_mtime == 5


def test_a_misspelt_folder_gets_the_nearest_name(tmp_path: Path) -> None:
    source(tmp_path / "orders")

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").contents(build(Code(tmp_path / "order")))

    assert caught.value.problems[0].hint == "did you mean orders?"


def zipped(path: Path, *entries: tuple[str, str, int], system: int = 3) -> Path:
    """A zip of (name, content, mode)."""
    with zipfile.ZipFile(path, "w") as made:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.create_system = system
            info.external_attr = mode << 16 or 0x20  # Windows' own mark of a plain file
            made.writestr(info, content)
    return path


def test_links_in_a_zip_are_followed_inside_it(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "made.zip",
        ("lib/libx.so.1.2", "elf", 0o100755),
        ("lib/libx.so.1", "libx.so.1.2", 0o120777),
        ("lib/libx.so", "libx.so.1", 0o120777),
    )
    package = Packager(tmp_path / "c").contents(build(Code(path)))

    assert len(set(package.manifest().values())) == 1
    assert all(file.executable for file in package.files)


def test_a_zip_that_would_write_outside_its_folder_is_refused(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "made.zip", ("../up", "", 0o100644), ("/top", "", 0o100644), ("x", "/etc/passwd", 0o120777)
    )

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").contents(build(Code(path)))

    assert sorted(problem.rule for problem in caught.value.problems) == [
        "code-unreadable", "code-unreadable", "symlink-outside",
    ]  # fmt: skip


def test_a_bootstrap_zipped_on_windows_is_executable(tmp_path: Path) -> None:
    path = zipped(tmp_path / "made.zip", ("bootstrap", "elf", 0), ("data", "", 0), system=0)
    package = Packager(tmp_path / "c").contents(build(Code(path)))

    assert {file.path: file.executable for file in package.files} == {"bootstrap": True, "data": False}


def test_a_damaged_zip_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "made.zip").write_bytes(b"PK nothing")

    with pytest.raises(Invalid) as caught:
        Packager(tmp_path / "c").contents(build(Code(tmp_path / "made.zip")))

    assert [problem.rule for problem in caught.value.problems] == ["code-unreadable"]


def test_a_jar_is_listed_and_uploaded_as_it_is(tmp_path: Path) -> None:
    path = zipped(tmp_path / "app.jar", ("META-INF/MANIFEST.MF", "", 0o100644), ("A.class", "", 0o100644))
    package = Packager(tmp_path / "c").archive(build(Code(path), runtime="java21"))

    assert package.archive is not None
    assert package.archive.read_bytes() == path.read_bytes()
    assert list(package.manifest()) == ["A.class", "META-INF/MANIFEST.MF"]


def test_a_jar_in_a_layer_is_a_file_of_it(tmp_path: Path) -> None:
    path = zipped(tmp_path / "lib.jar", ("A.class", "", 0o100644))
    package = Packager(tmp_path / "c").contents(build(Code(path), runtime="java21", prefix="java/lib"))

    assert list(package.manifest()) == ["java/lib/lib.jar"]


def test_importing_the_packager_loads_nothing_that_only_real_work_needs() -> None:
    heavy = {"zipfile", "pathspec", "subprocess", "tempfile", "shutil", "packaging", "uv", "ssl"}
    program = "import sys, lambdaform.packaging.packager; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout

    assert not heavy & set(loaded.split())
