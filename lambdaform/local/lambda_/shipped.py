"""What AWS's runtimes have installed beside a function's own code, and where it is found on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
SHIPPED = (
    "awslambdaric",
    "runtime_client",
    "snapshot_restore_py",
    "simplejson",
    "boto3",
    "botocore",
    "s3transfer",
    "jmespath",
    "dateutil",
    "six",
    "urllib3",
)
"""What AWS's Python runtime has installed beside the standard library, by module name."""

NODE_MODULES = "LAMBDAFORM_NODE_MODULES"
"""The variable that names a node_modules folder with what AWS's Node.js runtime ships: the AWS SDK for JavaScript."""

JAVA_CLIENT = "LAMBDAFORM_JAVA_CLIENT"
"""The variable that names a folder with AWS's runtime interface client for Java and what it depends on, as archives."""

DOTNET_CLIENT = "LAMBDAFORM_DOTNET_CLIENT"
"""The variable that names a folder with AWS's runtime client for .NET, or with one in `net8.0` and so on."""


def has_aws_client() -> bool:
    """Whether AWS's own runtime client can be used here: it must be installed, on a Linux of this decade."""
    return (
        sys.platform == "linux" and hasattr(os, "pidfd_open") and importlib.util.find_spec("runtime_client") is not None
    )


def assemble_runtime(folder: Path) -> Path:
    """Make `folder` hold links to what AWS's Python runtime ships, so that nothing else of ours is importable."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHIPPED:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin)
        source = origin.parent if spec.submodule_search_locations else origin
        (folder / source.name).symlink_to(source)
        for info in source.parent.glob(f"{name.replace('-', '_')}-*.dist-info"):
            with contextlib.suppress(FileExistsError):
                (folder / info.name).symlink_to(info)
    for name in ("bootstrap.py", "runtimes/index.mjs", "runtimes/bootstrap.rb"):
        shutil.copyfile(HERE / name, folder / Path(name).name)
    for variable, name in ((NODE_MODULES, "node_modules"), (JAVA_CLIENT, "lib"), (DOTNET_CLIENT, "dotnet")):
        given = os.environ.get(variable)
        if given and Path(given).is_dir():
            (folder / name).symlink_to(Path(given).resolve())
    return folder
