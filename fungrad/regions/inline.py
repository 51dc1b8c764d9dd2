"""Regions that are one graph with derivative rules of their own; compiled, their graph becomes part of the program.

`Remat` computes its graph again in the backward pass instead of keeping what is inside. `CustomJvp` and `CustomVjp`
have rules written by the user, as flat functions of values that are called where a derivative is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from fungrad.errors import ArgumentError, NotDifferentiableError
from fungrad.evaluate import evaluate
from fungrad.ir.graph import Graph
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType, type_of
from fungrad.passes import optimize
from fungrad.primitives.create import full, zeros_like
from fungrad.regions.derived import (
    Flags,
    chosen,
    output_types,
    spread_out,
)
from fungrad.regions.examples import batched_function
from fungrad.regions.one_graph import OneGraph
from fungrad.regions.region import Region
from fungrad.trace import Tracer, bind, trace
from fungrad.transforms.jvp import filled
from fungrad.transforms.linear import why_not_linear
from fungrad.transforms.vjp import graph_vjp, vjp

Flat = Callable[..., list[Any]]
"""A function of values that returns values. Primitives that hold one compare by its identity."""


class Inline(Region):
    """A region that is one graph."""

    def graph_for(self, types: Sequence[ArrayType]) -> Graph:
        """The graph, for operands of these types."""
        raise NotImplementedError

    def infer(self, *types: ArrayType) -> Any:
        return tuple(output_types(self.graph_for(types)))

    def graphs(self, *types: ArrayType) -> Sequence[Graph]:
        return (self.graph_for(types),)


@dataclass(frozen=True, slots=True)
class Remat(OneGraph, Inline):
    """A graph whose intermediate values are not kept for the backward pass but computed again there."""

    def graph_for(self, types: Sequence[ArrayType]) -> Graph:
        return self.graph

    def evaluate(self, *arrays: Any) -> Any:
        return tuple(evaluate(self.graph, *arrays))


@lru_cache(maxsize=1024)
def graph_of(f: Flat, types: tuple[ArrayType, ...], what: str) -> Graph:
    """A user's flat function as a graph."""
    found, captures = trace(f, types, purpose=what, name=what)
    if captures:
        raise ArgumentError(closes_over(what, captures[0]))
    return optimize(found)


def closes_over(what: str, tracer: Any) -> str:
    """What to say of a function with a rule of its own that uses a traced value it was not given."""
    return (
        f"a {what} function uses a traced value {type_of(tracer)} that is not one of its arguments, so its rule cannot "
        "give a derivative for it. Pass the value as an argument."
    )


def _plain(what: str, results: Sequence[Any]) -> tuple[Any, ...]:
    """Results of evaluating a user's function on arrays."""
    for x in results:
        if isinstance(x, Tracer):
            raise ArgumentError(closes_over(what, x))
    return tuple(results)


@dataclass(frozen=True, slots=True)
class CustomJvp(Inline):
    """A function with a JVP of the user's: `rule(*primals, *tangents)` gives the tangents of the results."""

    f: Flat
    rule: Flat

    functions: ClassVar[tuple[str, ...]] = ("f",)

    @property
    def name(self) -> str:
        return "custom_jvp"

    def graph_for(self, types: Sequence[ArrayType]) -> Graph:
        return graph_of(self.f, tuple(types), self.name)

    def evaluate(self, *arrays: Any) -> Any:
        return _plain(self.name, self.f(*arrays))

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        rule = batched_function(self.rule, size, [*batched, *batched])
        return bind(CustomJvp(batched_function(self.f, size, batched), rule), *inputs)

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Any:
        return self.rule(*inputs, *filled(tangents, inputs))

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        """The transpose of the rule, which is linear in the tangents."""

        def pushed(*some: Any) -> list[Any]:
            return self.rule(*inputs, *filled(spread_out(some, wanted), inputs))

        _, pullback = vjp(pushed, [zeros_like(x) for x in chosen(inputs, wanted)], self.name)
        return spread_out(pullback(ct), wanted)


def push_by_transposing(
    backward: Flat, outs: Sequence[ArrayType], tangents: Sequence[Cotangent], what: str, fix: str
) -> list[Any]:
    """The tangents of the results of a function of which only a reverse-mode rule is known, if that is linear.

    Args:
        backward: the rule: the cotangents of the inputs, None for zero, from those of the results.
        outs: the types of the results.
        tangents: of the inputs; None stands for zero.
        what: what errors call the function.
        fix: what they say to do if the rule is not linear.
    """
    pulled: Flags = ()

    def chosen_cotangents(*cts: Any) -> list[Any]:
        nonlocal pulled
        found = backward(*cts)
        pulled = tuple(c is not None and t is not None for c, t in zip(found, tangents, strict=True))
        return chosen(found, pulled)

    graph, captures = trace(chosen_cotangents, outs, purpose=what)
    of_cts = (*(False for _ in captures), *(t.is_float for t in outs))
    problem = why_not_linear(graph, of_cts)
    if problem is not None:
        raise NotDifferentiableError(
            f"forward mode met {what}, and its rule cannot be transposed, since it is not linear in the cotangent: "
            f"{problem}. {fix}"
        )
    zeros = [full(t.shape, 0, t.dtype) for t in outs]
    _, pullback = graph_vjp(graph, [*captures, *zeros], of_cts)
    return spread_out(pullback(chosen(tangents, pulled)), of_cts[len(captures) :])


@dataclass(frozen=True, slots=True)
class CustomVjp(Inline):
    """A function with a VJP of the user's.

    `forward(*inputs)` gives the results and then what the rule needs of the forward pass; `backward(residuals, cts)`
    gives the cotangents of the inputs, None for zero.
    """

    f: Flat
    forward: Flat
    backward: Callable[[Sequence[Any], Sequence[Any]], list[Any]]

    functions: ClassVar[tuple[str, ...]] = ("f", "forward")

    @property
    def name(self) -> str:
        return "custom_vjp"

    def graph_for(self, types: Sequence[ArrayType]) -> Graph:
        return graph_of(self.f, tuple(types), self.name)

    def evaluate(self, *arrays: Any) -> Any:
        return _plain(self.name, self.f(*arrays))

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        present: Flags = ()

        def backward(residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
            def flat(*values: Any) -> list[Any]:
                nonlocal present
                found = self.backward(values[: len(residuals)], values[len(residuals) :])
                present = tuple(c is not None for c in found)
                return chosen(found, present)

            values = [*residuals, *cts]
            found = spread_out(batched_function(flat, size, [True] * len(values))(*values), present)
            pairs = zip(found, batched, strict=True)
            return [c if c is None or has else np.sum(c, axis=0) for c, has in pairs]

        f, forward = (batched_function(g, size, batched) for g in (self.f, self.forward))
        return bind(CustomVjp(f, forward, backward), *inputs)

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Any:
        """The transpose of the rule, if it is linear in the cotangents, as a rule that clips them is not."""
        count = len(self.infer(*map(type_of, inputs)))
        results = self.forward(*inputs)
        residuals, outs = results[count:], [type_of(x) for x in results[:count]]
        fix = "Define the function with custom_jvp, which serves both modes."
        return push_by_transposing(
            lambda *cts: self.backward(residuals, cts), outs, tangents, "a custom_vjp function", fix
        )

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        results = self.forward(*inputs)
        count = len(ct)
        found = self.backward(results[count:], filled(ct, results[:count]))
        return [c if asked else None for c, asked in zip(found, wanted, strict=True)]


@dataclass(frozen=True, slots=True)
class KeptCustomVjp(Primitive):
    """What a concrete trace records of a `CustomVjp`: its results and residuals, which `forward` computed."""

    function: CustomVjp
    count: Callable[[], int]  # of the results

    multiple = True

    @property
    def name(self) -> str:
        return "custom_vjp"

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Any:
        return [
            *self.function.jvp(tangents, inputs, out),
            *[None] * (len(out) - self.count()),
        ]  # no one reads residuals

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        count = self.count()
        found = self.function.backward(out[count:], filled(ct[:count], out[:count]))
        return [c if asked else None for c, asked in zip(found, wanted, strict=True)]
