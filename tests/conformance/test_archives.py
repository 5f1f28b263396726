"""Code archives.

What Lambda makes of the zips that functions and layers come in.
"""

from __future__ import annotations

import io
import stat
import zipfile
from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.local.conftest import ROLE, Maker, Refusal, payload, refusal, unique, zipped

SOURCE = "def handler(event, context):\n    return 1\n"


def created(awslambda: Any, data: bytes) -> Refusal:
    """How CreateFunction refuses an archive."""
    return refusal(
        awslambda.create_function,
        FunctionName=unique(),
        Runtime="python3.11",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": data},
    )


@pytest.mark.parametrize("kind", ["checksum", "encrypted", "link"])
@fact(
    "ZipFile",
    "what cannot be unzipped is refused when it is uploaded, for functions and layers",
    source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-function-zip.html",
)
def test_what_cannot_be_unzipped_is_refused_when_it_is_uploaded(awslambda: Any, function: Maker, kind: str) -> None:
    data = zipped({"app.py": SOURCE})
    if kind == "checksum":
        data = data.replace(b"return", b"retire", 1)
    elif kind == "encrypted":
        at = data.index(b"PK\1\2")
        data = data[:6] + b"\1" + data[7 : at + 8] + b"\1" + data[at + 9 :]
    else:
        made, to_nothing = io.BytesIO(), zipfile.ZipInfo("link")
        to_nothing.external_attr = stat.S_IFLNK << 16
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr(to_nothing, "")
        data = made.getvalue()
    name = function(SOURCE)

    for found in (
        created(awslambda, data),
        refusal(awslambda.update_function_code, FunctionName=name, ZipFile=data),
        refusal(awslambda.publish_layer_version, LayerName=unique("layer"), Content={"ZipFile": data}),
    ):
        assert (found.status, found.code) == (400, "InvalidParameterValueException")
        assert found.message == "Could not unzip uploaded file. Please check your file, then try to upload again."
    assert payload(awslambda.invoke(FunctionName=name)) == 1


@fact(
    "ZipFile",
    "an archive without entries is refused, for functions and layers",
    source="https://github.com/tobilg/lsh/issues/1",
)
def test_an_archive_without_entries_is_refused(awslambda: Any, function: Maker) -> None:
    name, data = function(SOURCE), zipped({})

    for found in (
        created(awslambda, data),
        refusal(awslambda.update_function_code, FunctionName=name, ZipFile=data),
        refusal(awslambda.publish_layer_version, LayerName=unique("layer"), Content={"ZipFile": data}),
    ):
        assert (found.status, found.code) == (400, "InvalidParameterValueException")
        assert found.message == "Uploaded file must be a non-empty zip"


@fact(
    "Layers",
    "layers are laid over each other in their order; what a later one brings replaces what is in its way",
    source="https://docs.aws.amazon.com/lambda/latest/dg/adding-layers.html",
)
def test_a_layer_s_folder_replaces_another_s_file_and_the_other_way_round(awslambda: Any, function: Maker) -> None:
    layers = [
        awslambda.publish_layer_version(LayerName=unique("layer"), Content={"ZipFile": zipped(files)})
        for files in (
            {"python/shared": "a file"},
            {"python/shared/__init__.py": "VALUE = 1\n"},
            {"python/shared": "a file again"},
            {"python/shared/__init__.py": "VALUE = 2\n"},
        )
    ]
    name = function(
        "import shared\ndef handler(event, context):\n    return shared.VALUE\n",
        Layers=[each["LayerVersionArn"] for each in layers],
    )

    assert payload(awslambda.invoke(FunctionName=name)) == 2
