"""What is big in a package: the first thing somebody wants to know whose package is too large."""

from __future__ import annotations

from lambdaform.model.code import Package


def size_map(package: Package, *, depth: int = 2, most: int = 12) -> list[tuple[str, int]]:
    """The biggest folders (and single files) of a package with their bytes, biggest first.

    `depth` counts from where the package first branches: in a layer, all is under `python/`.
    """
    split = [file.path.split("/") for file in package.files]
    shared = 0
    while split and all(len(parts) > shared + 1 and parts[shared] == split[0][shared] for parts in split):
        shared += 1
    sizes: dict[str, int] = {}
    for file, parts in zip(package.files, split, strict=True):
        name = "/".join(parts[: shared + depth]) + ("/" if len(parts) > shared + depth else "")
        sizes[name] = sizes.get(name, 0) + file.size
    return sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0]))[:most]


def size_text(package: Package, *, depth: int = 1, most: int = 12) -> str:
    """The biggest folders as lines, and what the rest comes to."""
    rows = size_map(package, depth=depth, most=most)
    rest = package.unzipped - sum(size for _, size in rows)
    lines = [f"{_words(size):>9}  {name}" for name, size in rows]
    if rest:
        lines.append(f"{_words(rest):>9}  in other files")
    return "\n".join(lines)


def _words(size: int) -> str:
    if size >= 104_858:
        return f"{size / 1_048_576:,.1f} MB"
    return f"{size / 1024:,.1f} KB" if size >= 1024 else f"{size} B"
