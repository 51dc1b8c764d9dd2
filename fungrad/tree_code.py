"""Pytrees of one known structure, taken apart and put together by code generated for it.

    ([(*, *)], {'k': *})        def flatten(t0):
                                    if type(t0) is not tuple or len(t0) != 2: return None
                                    t1, t2 = t0
                                    if type(t1) is not list or len(t1) != 1: return None
                                    ...
                                    return (t5, t6, t4)

It does what `tree.flatten` and `tree.unflatten` do, several times faster, for calls that come again and again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from fungrad import tree
from fungrad.tree import LEAF_KIND, TreeDef


def flattener(structure: TreeDef) -> Callable[[Any], tuple[Any, ...] | None]:
    """A function from a pytree of that structure to its leaves; of another structure, to None.

    What stands where a leaf should be is returned unseen, a container too.
    """
    lines: list[str] = []
    names: dict[str, Any] = {}
    leaves: list[str] = []
    numbers = itertools.count(1)

    def take(source: str, part: TreeDef) -> None:
        if part.kind is LEAF_KIND:
            leaves.append(source)
            return
        if part.kind is type(None):
            lines.append(f"if {source} is not None: return None")
            return
        count = len(part.children)
        targets = [f"t{next(numbers)}" for _ in range(count)]
        constant = f"k{len(names)}"
        lines.append(f"if type({source}) is not {constant}: return None")
        names[constant] = part.kind
        children = source
        if part.kind is dict:
            for target, key in zip(targets, part.meta, strict=True):
                name = f"k{len(names)}"
                names[name] = key
                lines.append(f"{target} = {source}[{name}]")
        elif part.kind not in (tuple, list):
            meta, flatten = f"k{len(names)}", f"k{len(names) + 1}"
            names[meta], names[flatten] = part.meta, tree.known(part.kind).flatten
            children = f"t{next(numbers)}"
            lines.append(f"{children}, meta = {flatten}({source})")
            lines.append(f"if meta != {meta}: return None")
        lines.append(f"if len({children}) != {count}: return None")
        if part.kind is not dict and count:
            lines.append(f"{', '.join(targets)}, = {children}")
        for target, child in zip(targets, part.children, strict=True):
            take(target, child)

    take("t0", structure)
    lines.append(f"return ({', '.join(leaves)}{',' * (len(leaves) == 1)})")
    body = "\n".join(f"        {line}" for line in lines)
    missing = "    except KeyError: return None"
    return _function("flatten", f"def flatten(t0):\n    try:\n{body}\n{missing}\n", names)


def builder(structure: TreeDef, fixed: Sequence[tuple[int, Callable[[], Any]]] = ()) -> Callable[[Any], Any]:
    """A function from leaves, a sequence, to the pytree of that structure.

    Args:
        structure: of the pytree.
        fixed: positions of leaves that are not in the sequence, and what makes them.
    """
    makers = dict(fixed)
    names: dict[str, Any] = {}
    lines: list[str] = []
    numbers = itertools.count()
    leaves = [f"v{i}" for i in range(structure.leaves)]
    given = [x for i, x in enumerate(leaves) if i not in makers]
    if given:
        lines.append(f"{', '.join(given)}, = leaves")
    for i, make in makers.items():
        names[f"m{i}"] = make
        lines.append(f"v{i} = m{i}()")
    rest = iter(leaves)

    def build(part: TreeDef) -> str:
        if part.kind is LEAF_KIND:
            return next(rest)
        if part.kind is type(None):
            return "None"
        children = [build(child) for child in part.children]
        inner = "".join(f"{child}, " for child in children)
        number = next(numbers)
        if part.kind is tuple:
            value = f"({inner})"
        elif part.kind is list:
            value = f"[{inner}]"
        else:
            names[f"k{number}"] = part.meta
            names[f"u{number}"] = tree.known(part.kind).unflatten
            value = f"u{number}(k{number}, ({inner}))"
            if part.kind is dict:
                names.update({f"k{number}_{i}": key for i, key in enumerate(part.meta)})
                value = "{" + ", ".join(f"k{number}_{i}: {child}" for i, child in enumerate(children)) + "}"
        lines.append(f"c{number} = {value}")
        return f"c{number}"

    lines.append(f"return {build(structure)}")
    body = "\n".join(f"    {line}" for line in lines)
    return _function("build", f"def build(leaves):\n{body}\n", names)


def _function(name: str, source: str, names: dict[str, Any]) -> Callable[[Any], Any]:
    exec(compile(source, f"<{name} a pytree>", "exec"), names)
    function: Callable[[Any], Any] = names[name]
    return function
