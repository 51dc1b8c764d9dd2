"""The check of batch rules: against a Python loop over the examples, for every choice of batched operands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from fungrad.ir.primitive import Primitive
from fungrad.ir.types import type_of
from fungrad.testing.compare import compare_values
from fungrad.testing.values import Untouched, varied

Vary = Callable[[Any, int, np.random.Generator], Any]
"""From an operand and a number to the operand of that example."""

RTOL = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-13}  # sums in another order
FEW = 4  # operands of which every choice is tried


def choices(count: int) -> Iterator[tuple[bool, ...]]:
    """Choices of batched operands: every one but none, or of many operands all, each alone and each left out."""
    if count <= FEW:
        yield from (flags for flags in product([True, False], repeat=count) if any(flags))
        return
    yield (True,) * count
    for i in range(count):
        yield tuple(j == i for j in range(count))
        yield tuple(j != i for j in range(count))


def operands_of_examples(
    operands: Sequence[Any], size: int, rng: np.random.Generator, vary: Vary = varied
) -> list[Any]:
    """For each operand an array of as many as there are examples, along the leading axis."""
    return [
        np.array([vary(x, i, rng) for i in range(size)], x.dtype).reshape((size, *x.shape))
        for x in map(np.asarray, operands)
    ]


def of_example(operands: Sequence[Any], batched: Sequence[bool], number: int) -> list[Any]:
    """The operands of one example; 0-d ones are NumPy scalars."""
    return [x[number][()] if has else x for x, has in zip(operands, batched, strict=True)]


def mixed(batches: Sequence[Any], operands: Sequence[Any], batched: Sequence[bool]) -> list[Any]:
    """The batched operands, and for the others those that all examples share."""
    return [b if has else np.asarray(x)[()] for b, x, has in zip(batches, operands, batched, strict=True)]


def loop(op: Primitive, operands: Sequence[Any], batched: Sequence[bool], size: int, types: Any) -> Any:
    """What a batch rule should give, by a Python loop. `types` are those of one result, as `infer` gives them."""
    rows = [op.evaluate(*of_example(operands, batched, i)) for i in range(size)]
    if not isinstance(types, tuple):
        return np.array(rows, types.dtype).reshape((size, *types.shape))
    return tuple(
        np.array([row[i] for row in rows], type.dtype).reshape((size, *type.shape)) for i, type in enumerate(types)
    )


def check_batch_rule(
    op: Primitive,
    operands: Sequence[Any],
    rng: np.random.Generator,
    sizes: Sequence[int] = (3, 1, 0),
    vary: Vary = varied,
) -> None:
    """Check the batch rule of a primitive for every choice of batched operands.

    Args:
        op: the primitive.
        operands: of one example.
        rng: for the operands of the others.
        sizes: numbers of examples.
        vary: makes operands of other examples.
    """
    types = op.infer(*map(type_of, operands))
    for size in sizes:
        batches = operands_of_examples(operands, size, rng, vary)
        for batched in choices(len(operands)):
            given = mixed(batches, operands, batched)
            untouched = Untouched(given)
            found = op.batch(size, given, batched)
            expected = loop(op, given, batched, size, types)
            what = f"{op.name}, batched operands {batched}, {size} examples"
            pairs = zip(found, expected, strict=True) if isinstance(types, tuple) else [(found, expected)]
            for i, (x, e) in enumerate(pairs):
                compare_batches(what, np.asarray(x), e, f"result {i}" if isinstance(types, tuple) else "the result")
            untouched.check(what)


def compare_batches(
    what: str, x: Any, expected: Any, name: str, atol: float | None = None, rtol: float | None = None
) -> None:
    """Raise AssertionError unless two batches are equal up to the rounding of sums in another order."""
    allowed = RTOL.get(expected.dtype, 0.0) if rtol is None else rtol
    if atol is not None:
        scale = np.max(np.abs(expected), initial=1.0)
        allowed = max(allowed, atol / float(scale))
    compare_values(what, [x], [expected], [name], allowed)
