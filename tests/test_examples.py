"""Every app in `examples/` does what it says."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def uploads() -> ModuleType:
    return load("uploads")


def test_an_uploaded_file_is_counted_by_its_folder(uploads: ModuleType) -> None:
    with uploads.Uploads.local(clock="virtual") as aws:
        for name in ("sales/a.csv", "sales/b.csv", "stock/a.csv", "sales/notes.txt"):
            aws.put_object(uploads.Uploads.files, name, "1,2")
        aws.clock.advance(seconds=1)

        counts = {item["kind"]: int(item["files"]) for item in aws.items(uploads.Uploads.counts)}
        assert counts == {"sales": 2, "stock": 1}


def test_a_file_outside_any_folder_is_tried_three_times_and_kept(uploads: ModuleType) -> None:
    with uploads.Uploads.local(clock="virtual") as aws:
        aws.put_object(uploads.Uploads.files, "stray.csv", "1,2")
        aws.clock.advance(minutes=10)

        [kept] = aws.messages(uploads.Uploads.lost)
        assert kept.json()["requestContext"]["approximateInvokeCount"] == 3
