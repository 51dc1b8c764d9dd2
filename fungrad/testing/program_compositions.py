"""Transformations of programs, composed in every order, as source that runs wherever the program does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from hypothesis import strategies as st

from fungrad.testing.program_source import FUNGRAD, Program, compile_source

COUNT = 3
"""How many examples a mapped program gets."""

FLOATS_OF = """
def floats_of(results):
    return [x for x in results if np.issubdtype(x.dtype, np.floating)]
"""

TRANSFORMATIONS = {
    "gradient": """
def gradient(f):
    def total(*xs):
        return sum((i + 0.5) * np.sum(np.sin(x)) for i, x in enumerate(floats_of(f(*xs))))
    return grad(total, argnums=tuple(range(FLOATS)))
""",
    "pushed": """
def pushed(f):
    def both(*xs):
        moving, fixed = xs[:FLOATS], xs[FLOATS:]
        directions = tuple(np.cos(3 * x) for x in moving)
        values, tangents = jvp(lambda *ys: floats_of(f(*ys, *fixed)), moving, directions)
        return *values, *tangents
    return both
""",
    "pulled": """
def pulled(f):
    def both(*xs):
        moving, fixed = xs[:FLOATS], xs[FLOATS:]
        values, pullback = vjp(lambda *ys: floats_of(f(*ys, *fixed)), *moving)
        return *values, *pullback([np.cos(2 * x) for x in values])
    return both
""",
    "mapped": """
def mapped(f):
    return vmap(f)
""",
}
"""Each makes a function with a tuple of results of another one; the first `FLOATS` arguments are floats."""

DERIVATIVES = ("gradient", "pushed", "pulled")


@dataclass(frozen=True, slots=True)
class Composition:
    """Transformations of a program, the outermost first, and where in between it is compiled.

    - names: of TRANSFORMATIONS.
    - compiled: after how many of them, counted from the program, there is a `jit`.
    """

    names: tuple[str, ...] = ()
    compiled: frozenset[int] = frozenset()

    @property
    def text(self) -> str:
        """The transformed function as an expression."""
        text = "program"
        for i, name in enumerate([*reversed(self.names), ""]):
            text = f"jit({text})" if i in self.compiled else text
            text = f"{name}({text})" if name else text
        return text

    @property
    def examples(self) -> tuple[int, ...]:
        """The leading axes that the arguments have more than those of the program."""
        return (COUNT,) * self.names.count("mapped")

    def source(self, program: Program) -> str:
        """The program and its transformation, named `composed`."""
        used = [TRANSFORMATIONS[name] for name in dict.fromkeys(self.names)]
        parts = [program.source, f"FLOATS = {program.floats}\n", *([FLOATS_OF] if used else []), *used]
        return "\n".join([*parts, f"composed = {self.text}\n"])

    def function(self, program: Program, names: Mapping[str, Any]) -> Callable[..., tuple[Any, ...]]:
        """The transformed program, run by the library whose names these are."""
        return cast(Callable[..., tuple[Any, ...]], compile_source(self.source(program), names)["composed"])

    def arguments(self, program: Program) -> list[Any]:
        """Arguments for it: those of the program, and others like them for further examples."""
        return [_examples(x, self.examples, i) for i, x in enumerate(program.inputs.values())]

    def interpreted(self) -> Composition:
        """The same without compilation."""
        return Composition(self.names)

    def script(self, program: Program, header: str = FUNGRAD) -> str:
        """A file that shows the result."""
        inputs = dict(zip(program.inputs, self.arguments(program), strict=True))
        given = Program(inputs, program.body, program.results)
        return given.script(
            self.source(program).removeprefix(program.source), "print(composed(*arguments))", header=header
        )


def _examples(x: Any, shape: tuple[int, ...], seed: int) -> Any:
    if not shape:
        return x
    rng = np.random.default_rng(seed)
    change = (
        rng.integers(-2, 3, (*shape, *x.shape)) if x.dtype.kind == "i" else rng.normal(size=(*shape, *x.shape)) * 0.7
    )
    return (x + change).astype(x.dtype)


@st.composite
def compositions(draw: st.DrawFn, max_order: int = 2) -> Composition:
    """A strategy for compositions of at most `max_order` derivatives, at most one `vmap`, and a `jit` in some place."""
    names = draw(st.lists(st.sampled_from(DERIVATIVES), max_size=max_order))
    if draw(st.booleans()):
        names.insert(draw(st.integers(0, len(names))), "mapped")
    return Composition(tuple(names), frozenset([draw(st.integers(0, len(names)))]))
