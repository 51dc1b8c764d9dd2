"""The page of functions that can be traced: `python -m tests.numpy.function_table > docs/numpy.md` writes it."""

from __future__ import annotations

import inspect
import sys
import textwrap
from typing import Any

import numpy as np

import fungrad as fg  # noqa: F401  (registers the functions)
from fungrad.numpy import protocols, registry, ufuncs
from fungrad.trace import Tracer

HEAD = """\
# Functions that can be traced

`python -m tests.numpy.function_table > docs/numpy.md` writes this page from the code, and a test compares them. Each
is called as NumPy's or SciPy's own, `np.sum(x)`, or as `fungrad.numpy.sum(x)`; the suite compares all with NumPy, and
their derivatives with finite differences. Options in parentheses cannot be given; `out=` never can. `pad` has the modes
constant, empty, edge, reflect, symmetric and wrap, `quantile` and `percentile` the methods linear, lower, higher and
midpoint, `gradient` the order 1 at edges, and `cov` no weights. What is not listed raises an error that names the
line. On plain arrays NumPy itself runs, with all it can do. Complex numbers cannot be traced.
"""
SECTIONS = {
    "reductions": "Sums, extremes and running results",
    "statistics": "Statistics",
    "shaping": "Shapes and axes",
    "joining": "Joining, splitting and repeating",
    "selection": "Choosing and comparing",
    "sorting": "Sorting and searching",
    "sequences": "Along an axis",
    "contractions": "Products",
    "subscripts": "Sums by subscripts",
    "linear_algebra": "Linear algebra",
    "factorizations": "Factorizations",
    "norms": "Norms",
    "creation": "Arrays like others",
}
IGNORED = {"out", "subok", "like", "device", "overwrite_input", "casting", "writeable", "args", "kwargs", "varargs"}


def missing_options(function: Any, ours: Any) -> list[str]:
    """Parameters of NumPy's that ours lacks."""
    try:
        theirs = inspect.signature(function).parameters
    except ValueError:
        return []
    parameters = inspect.signature(ours).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return []
    positional = [p for p in theirs.values() if p.default is p.empty]  # may have another name here
    return [
        name for name, p in theirs.items() if name not in parameters and name not in IGNORED and p not in positional
    ]


def spelled(function: Any, ours: Any) -> str:
    """A function with the options that it lacks here."""
    module = (getattr(function, "__module__", None) or "numpy").removeprefix("numpy").lstrip(".")
    name = f"{module}.{function.__name__}" if module else function.__name__
    missing = missing_options(function, ours)
    return f"`{name}`" + (f" (`{'`, `'.join(missing)}`)" if missing else "")


def paragraph(names: list[str]) -> str:
    """Names in alphabetical order, in lines."""
    text = ", ".join(sorted(names, key=lambda name: name.replace("`", "").lower()))
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"


def page() -> str:
    """The page."""
    found: dict[str, list[str]] = {}
    for function, ours in registry.FUNCTIONS.items():
        found.setdefault(ours.__module__.rpartition(".")[2], []).append(spelled(function, ours))
    assert set(found) == set(SECTIONS), set(found) ^ set(SECTIONS)
    known = {id(f) for f in (*ufuncs.ROW_OF, *ufuncs.COMPOSITES)}
    elementwise = sorted({name for name in dir(np) if id(getattr(np, name)) in known})
    methods = [name for name in dir(Tracer) if not name.startswith("_") and hasattr(np.ndarray, name)]
    methods = [name for name in methods if name not in protocols.REFUSED_METHODS]
    parts = [HEAD]
    parts += ["## Element by element\n", paragraph([f"`{name}`" for name in elementwise])]
    parts += ["Of these `reduce`, `accumulate` and `outer` can be traced where they are associative.\n"]
    parts += ["## scipy.special\n", paragraph([f"`{name}`" for name in ufuncs.SCIPY])]
    for module, title in SECTIONS.items():
        parts += [f"## {title}\n", paragraph(found[module])]
    parts += ["## Methods and attributes of arrays\n", paragraph([f"`{name}`" for name in methods])]
    parts += ["Operators, indexing of every kind, `x[i] = v` and `x += v` are as NumPy's, too.\n"]
    parts += ["## What to write instead of others\n"]
    instead = [f"- `{name}`: {text}" for name, text in sorted(registry.INSTEAD.items())]
    return "\n".join(parts) + "\n" + "\n".join(instead) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
