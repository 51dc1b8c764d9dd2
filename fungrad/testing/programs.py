"""Random programs, drawn by Hypothesis, that any library with NumPy's and JAX's names can run."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fungrad.testing.program_source import Program, Statement, count_operations, names_in, pruned
from fungrad.testing.program_writer import Value, Writer

SHAPES = ((3,), (), (2, 3), (3, 2), (2,), (1, 3), (2, 2, 3), (1,), (4,), (3, 3))
FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


@st.composite
def programs(
    draw: st.DrawFn, min_operations: int = 3, max_operations: int = 40, dtypes: Any = ("float64", "float32")
) -> Program:
    """A strategy for programs: functions of arrays, written in NumPy, with loops, branches and transformations inside.

    Args:
        min_operations: how many values a program computes at least, with those inside functions.
        max_operations: a number of operations between these is drawn; then nothing more is added at the top. The last
            one may be a function of some more.
        dtypes: the floating-point dtypes that occur.

    Returns:
        A strategy of `Program`s. They are differentiable almost everywhere, their inputs are not at a kink (which is
        the point of the constants in them), and what they compute is mostly of moderate size.

    >>> from hypothesis import given, settings
    >>> from fungrad.testing.program_source import fungrad_names
    >>> @settings(max_examples=3, deadline=None, database=None)
    ... @given(programs(max_operations=5))
    ... def check(program):
    ...     results = program.function(fungrad_names())(*program.arguments)
    ...     assert len(results) == len(program.results)
    >>> check()
    """
    narrow = "float32" in dtypes and ("float64" not in dtypes or draw(st.booleans()))
    floats = [d for d in FLOATS if d.name in dtypes and (narrow or d.name == "float64")]
    writer = Writer(draw, (), itertools.count(), narrow)
    inputs = [
        Value(writer.name(), draw(st.sampled_from(SHAPES)), draw(st.sampled_from(floats)))
        for _ in range(draw(st.integers(1, 3)))
    ]
    if draw(st.booleans()):
        inputs.append(Value(writer.name(), draw(st.sampled_from(((), (3,), (2,)))), np.dtype(np.int64)))
    writer.values += inputs
    wanted = draw(st.integers(min_operations, max_operations))
    body: tuple[Statement, ...] = ()
    results: tuple[str, ...] = ()
    while count_operations(body) < wanted:
        writer.step()
        results = _results(writer, inputs)
        body = pruned(writer.statements, frozenset(results))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Program({x.name: _numbers(rng, x) for x in inputs}, body, results)


def _results(writer: Writer, inputs: list[Value]) -> tuple[str, ...]:
    """What no statement reads, and a float that is not an input if there is one."""
    read = names_in(" ".join(" ".join(sorted(s.needs)) for s in writer.statements))
    computed = [x for x in writer.values if x not in inputs]
    found = [x.name for x in computed if x.name not in read]
    if not any(x.kind == "f" for x in computed if x.name in found):
        found += [x.name for x in (computed or inputs)[::-1] if x.kind == "f"][:1]
    return tuple(found)


def _numbers(rng: np.random.Generator, x: Value) -> Any:
    """Numbers of no special value."""
    numbers = rng.integers(-5, 6, x.shape) if x.kind == "i" else rng.normal(size=x.shape)
    return np.asarray(numbers).astype(x.dtype)[()]
