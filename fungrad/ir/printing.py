"""Graphs as text, in the form a person would write them.

    { x:f64[3] ->
      a:f64[3] = sin x            # model.py:12
      b:f64[3] = mul a 2.0        # model.py:12
      return b }

Static parameters follow the primitive in brackets. Constants that are one number print as that number, others as their
type.
"""

from __future__ import annotations

import os
import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from itertools import count, product
from keyword import kwlist
from typing import Any

import numpy as np

from fungrad.ir.graph import Const, Equation, Graph, Operand, Var
from fungrad.ir.primitive import Primitive

RESERVED = frozenset(
    (
        *kwlist,
        "np",
        "range",
        "host",
        "select",
        "convert",
        "grown",
        "clip",
        "erf",
        "erfc",
        "erfcx",
        "erf_inv",
        "logistic",
        "threefry2x32",
        "kernel",
        "arena",
    )
)
"""Names with a meaning in generated code, where the Vars of a graph keep theirs."""


_NUMBERED = re.compile(r"(i|out|const)\d+")
"""Indices, outputs and constants of generated code. All else that it makes up has two underscores in a row, which no
identifier here has."""


def _fresh_names() -> Iterator[str]:
    for length in count(1):
        for letters in product(string.ascii_lowercase, repeat=length):
            name = "".join(letters)
            if name not in RESERVED:
                yield name


def identifiers(paths: Sequence[str]) -> list[str]:
    """Paths such as `params['w1']` as names in a program: `params_w1`."""
    return [_identifier(path) for path in paths]


def _identifier(path: str) -> str:
    cleaned = "".join(c if c.isalnum() and c.isascii() else "_" for c in path.replace("'", ""))
    name = "_".join(part for part in cleaned.split("_") if part)
    if not name or name[0].isdigit():
        name = f"x{name}"
    reserved = name in RESERVED or _NUMBERED.fullmatch(name)
    return f"{name}_" if reserved else name


def print_parameter(value: Any) -> str:
    """A static parameter as graphs show it."""
    if isinstance(value, np.dtype):
        return str(value)
    if isinstance(value, Graph):
        return repr(value)
    if isinstance(value, Primitive):
        return print_primitive(value)
    if isinstance(value, tuple):
        inner = ", ".join(map(print_parameter, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return str(value)


def print_primitive(op: Primitive) -> str:
    """A primitive with its static parameters but those left at their defaults, as `sum[axes=(0,)]`."""
    shown: list[Any] = (
        [f for f in fields(op) if f.repr and getattr(op, f.name) != f.default] if is_dataclass(op) else []
    )
    if not shown:
        return op.name
    return f"{op.name}[{', '.join(f'{f.name}={print_parameter(getattr(op, f.name))}' for f in shown)}]"


def print_const(const: Const) -> str:
    """A constant: its number if it repeats one, else its type."""
    scalar = const.scalar
    return str(const.type) if scalar is None else str(scalar)


def name_vars(graph: Graph, taken: set[str] | None = None) -> dict[Var, str]:
    """A short unique name for each Var; inputs keep the names the user gave them.

    Names in `taken` are not used; those given are added to it.
    """
    names: dict[Var, str] = {}
    taken = set() if taken is None else taken
    for var, name in zip(graph.inputs, graph.input_names, strict=False):
        if name not in taken:
            names[var] = name
            taken.add(name)
    fresh = (name for name in _fresh_names() if name not in taken)
    for var in (*graph.inputs, *(out for eqn in graph.equations for out in eqn.outputs)):
        if var not in names:
            names[var] = next(fresh)
            taken.add(names[var])
    return names


def print_graph(graph: Graph) -> str:
    """The whole graph as text."""
    names = name_vars(graph)

    def operand(x: Operand) -> str:
        return print_const(x) if isinstance(x, Const) else names[x]

    def equation(eqn: Equation) -> tuple[str, str]:
        left = ", ".join(f"{names[v]}:{v.type}" for v in eqn.outputs)
        right = " ".join([print_primitive(eqn.op), *map(operand, eqn.inputs)])
        where = f"# {os.path.basename(eqn.where.file)}:{eqn.where.line}" if eqn.where.line else ""
        return f"  {left} = {right}" if left else f"  {right}", where

    rows = [equation(eqn) for eqn in graph.equations]
    width = min(max((len(row) for row, _ in rows), default=0), 72)
    head = ", ".join(f"{names[v]}:{v.type}" for v in graph.inputs)
    body = [f"{row:<{width}}  {where}".rstrip() for row, where in rows]
    results = ", ".join(map(operand, graph.outputs))
    return "\n".join([f"{{ {head} ->" if head else "{ ->", *body, f"  return {results} }}"])
