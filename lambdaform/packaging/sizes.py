"""What is big in a package: the first thing somebody wants to know whose package is too large."""

from __future__ import annotations

from lambdaform.model.code import Package


def size_map(package: Package, *, depth: int = 2, most: int = 12) -> list[tuple[str, int]]:
    """The biggest folders (and single files) of a package with their bytes, biggest first."""
    sizes: dict[str, int] = {}
    for file in package.files:
        parts = file.path.split("/")
        name = "/".join(parts[:depth]) + ("/" if len(parts) > depth else "")
        sizes[name] = sizes.get(name, 0) + file.size
    return sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0]))[:most]


def size_text(package: Package) -> str:
    """The size map as lines."""
    rows = size_map(package)
    return "\n".join(f"{size / 1_048_576:9.1f} MB  {name}" for name, size in rows)
