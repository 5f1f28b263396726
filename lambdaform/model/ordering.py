"""In which order things are done that need each other. Pure: names and what each name needs."""

from __future__ import annotations

from collections.abc import Callable

Needs = dict[str, dict[str, None]]
"""Name to the names it needs, in the order of the declaration."""


def reaches(needs: Needs, start: str, end: str) -> bool:
    """Whether `start` needs `end`, directly or through others."""
    seen = {start}
    todo = [start]
    while todo:
        for need in needs[todo.pop()]:
            if need == end:
                return True
            if need not in seen:
                seen.add(need)
                todo.append(need)
    return False


def ordered(needs: Needs, on_cycle: Callable[[list[str]], None]) -> list[str]:
    """All names, each after what it needs, otherwise as they come.

    A circle is told to `on_cycle` as its path, and the need that closes it is dropped from `needs`, so that everything
    after it still works.
    """
    done: dict[str, None] = {}
    visiting: dict[str, None] = {}
    for start in needs:
        if start in done:
            continue
        # Depth first, with a stack of its own so that a long chain is no problem.
        stack = [(start, iter(list(needs[start])))]
        visiting[start] = None
        while stack:
            name, rest = stack[-1]
            for need in rest:
                if need in done:
                    continue
                if need in visiting:
                    path = list(visiting)
                    on_cycle([*path[path.index(need) :], need])
                    del needs[name][need]
                    continue
                visiting[need] = None
                stack.append((need, iter(list(needs[need]))))
                break
            else:
                done[name] = None
                del visiting[name]
                stack.pop()
    return list(done)
