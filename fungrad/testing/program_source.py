"""Programs as data: statements that read as Python, and run as it.

    program    = inputs, statement*, results
    statement  = Assign(targets, expression) | Define(name, ..., body: statement*, returns)

Texts speak of values by their names, `v0`, `v1`, ..., and of functions by theirs, `f2`, `f3`, .... No name is used
twice, in no scope; so what a text needs is the names that occur in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np

FUNGRAD = """\
import fungrad as fg
from fungrad import checkpoint, custom_jvp, custom_vjp, grad, hessian, jacfwd, jacrev, jit, jvp, lax, stop_gradient
from fungrad import numpy as np
from fungrad import value_and_grad, vjp, vmap
from fungrad.numpy import at
"""
"""What a program's source expects to be imported. Any library that has these names can run it."""


@dataclass(frozen=True, slots=True)
class Assign:
    """`targets = expression`."""

    targets: tuple[str, ...]
    pattern: str  # the targets as they are written, such as "(v1, v2), v3"
    expression: str

    @property
    def needs(self) -> frozenset[str]:
        """The names the statement reads from outside."""
        return names_in(self.expression)

    def lines(self) -> Iterator[str]:
        """The source."""
        yield f"{self.pattern} = {self.expression}"


@dataclass(frozen=True, slots=True)
class Define:
    """A function: `head` (decorators and the `def` line, then what takes parameters apart), `body`, `return returns`.

    `after` belongs to the definition: functions and lines, such as a rule and `f0.defvjp(f1, f2)`.
    """

    name: str
    head: tuple[str, ...]
    body: tuple[Statement, ...]
    returns: str
    after: tuple[Define | str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """The names the statement defines."""
        return (self.name,)

    @property
    def needs(self) -> frozenset[str]:
        """The names that occur; those of the function's own scope are nowhere else, so they do no harm."""
        inner = [s.needs for s in self.body] + [s.needs for s in self.after if isinstance(s, Define)]
        return names_in(" ".join((*self.head, self.returns))).union(*inner) - {self.name}

    def pruned(self) -> Define:
        """The function without statements that its result does not depend on."""
        after = tuple(s.pruned() if isinstance(s, Define) else s for s in self.after)
        body = pruned(self.body, names_in(self.returns))
        return Define(self.name, self.head, body, self.returns, after)

    def lines(self) -> Iterator[str]:
        """The source."""
        (split,) = (i for i, line in enumerate(self.head) if line.startswith("def "))
        yield from self.head[: split + 1]
        yield from (f"    {line}" for line in self.head[split + 1 :])
        for statement in self.body:
            yield from (f"    {line}" for line in statement.lines())
        yield f"    return {self.returns}"
        for part in self.after:
            if isinstance(part, Define):
                yield from part.lines()
            else:
                yield part


Statement = Assign | Define


@cache
def names_in(text: str) -> frozenset[str]:
    """The names of values and functions that occur in a text."""
    return frozenset(re.findall(r"\b[vf]\d+\b", text))


def pruned(statements: Sequence[Statement], wanted: frozenset[str]) -> tuple[Statement, ...]:
    """The statements that `wanted` names depend on."""
    kept: list[Statement] = []
    for statement in reversed(statements):
        if wanted.isdisjoint(statement.targets):
            continue
        if isinstance(statement, Define):
            statement = statement.pruned()
        wanted |= statement.needs
        kept.append(statement)
    return tuple(reversed(kept))


def count_operations(statements: Sequence[Statement]) -> int:
    """How many values are computed, with those inside functions."""
    inside = [(*s.body, *(t for t in s.after if isinstance(t, Define))) for s in statements if isinstance(s, Define)]
    return sum(isinstance(s, Assign) for s in statements) + sum(map(count_operations, inside))


@dataclass(frozen=True, slots=True)
class Program:
    """A function of arrays, as source, and arguments for it.

    - inputs: the arguments by name; those of a float dtype come first.
    - body, results: the statements, and the names of the values that are returned, as a tuple.
    """

    inputs: Mapping[str, Any]
    body: tuple[Statement, ...]
    results: tuple[str, ...]

    @property
    def floats(self) -> int:
        """How many arguments, the first ones, can be differentiated."""
        return sum(x.dtype.kind == "f" for x in self.inputs.values())

    @property
    def operations(self) -> int:
        """How many values it computes, with those inside functions."""
        return count_operations(self.body)

    @property
    def arguments(self) -> list[Any]:
        """The arguments."""
        return list(self.inputs.values())

    @property
    def source(self) -> str:
        """The function, as Python source."""
        lines = [f"def program({', '.join(self.inputs)}):"]
        lines += [f"    {line}" for statement in self.body for line in statement.lines()]
        lines += [f"    return {', '.join(self.results)},"]
        return "\n".join(lines) + "\n"

    def script(self, *more: str, header: str = FUNGRAD) -> str:
        """A file that runs the program: imports, the function, the arguments, and `more` lines."""
        arguments = [f"    {literal(x)}," for x in self.inputs.values()]
        return "\n".join([header, "", self.source, "", "arguments = [", *arguments, "]", *more, ""])

    def function(self, namespace: Mapping[str, Any]) -> Callable[..., tuple[Any, ...]]:
        """The function, run by the library whose names `namespace` has."""
        return cast(Callable[..., tuple[Any, ...]], compile_source(self.source, namespace)["program"])

    def __repr__(self) -> str:
        """What Hypothesis prints."""
        return "\n" + self.script("print(program(*arguments))")


def compile_source(source: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The names that a source defines, in addition to those of `namespace`. Errors show its lines."""
    import linecache

    name = f"<program {hash(source) & 0xFFFFFFFF:08x}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    names = dict(namespace)
    exec(compile(source, name, "exec"), names)
    return names


def fungrad_names() -> dict[str, Any]:
    """The namespace in which a program is fungrad's."""
    return compile_source(FUNGRAD, {})


def literal(x: Any) -> str:
    """An array as Python source, exactly."""
    x = np.asarray(x)
    return f"np.array({x.tolist()!r}, np.{x.dtype.name if x.dtype != np.bool_ else 'bool_'})"
