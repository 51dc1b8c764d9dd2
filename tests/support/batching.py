"""The checker of batch rules: against a Python loop over the examples, for every choice of batched operands.

`check_batch_rule` raises AssertionError for every wrong rule; `tests/primitives/test_batch_mutations.py` shows that it
does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from fungrad.ir.primitive import Primitive
from fungrad.ir.types import type_of
from fungrad.primitives.elementwise import Elementwise
from tests.support.derivatives import differentiable
from tests.support.examples import MATRIX_PRIMITIVES

RTOL = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-13}


def choices(count: int) -> Iterator[tuple[bool, ...]]:
    """Every choice of batched operands but none."""
    return (flags for flags in product([True, False], repeat=count) if any(flags))


def _another(op: Primitive, x: Any, number: int, rng: np.random.Generator) -> Any:
    """Another operand of the type of `x`, valid where `x` is: shuffled, and changed so that 0-d ones differ too."""
    if isinstance(op, MATRIX_PRIMITIVES):  # rows and columns together, so that a matrix keeps its eigenvalues
        order = rng.permutation(x.shape[-2])
        columns = order if x.shape[-1] == len(order) else slice(None)
        return (x[..., order, :][..., columns] * (1 - number / 16)).astype(x.dtype)
    shuffled = rng.permutation(np.asarray(x).reshape(-1)).reshape(x.shape)
    if x.dtype == np.bool_:
        return shuffled ^ bool(number % 2)
    if differentiable(x):
        return (shuffled * (1 - number / 16)).astype(x.dtype)
    if isinstance(op, Elementwise):
        return shuffled + number
    return ~shuffled if number % 2 else shuffled  # of positions -n ... n - 1, each maps to another


def operands_of_examples(op: Any, inputs: Sequence[Any], size: int, rng: np.random.Generator) -> list[Any]:
    """For each operand an array of as many as there are examples, along the leading axis."""
    plain = getattr(op, "op", op)
    return [
        np.array([_another(plain, x, i, rng) for i in range(size)], x.dtype).reshape((size, *x.shape)) for x in inputs
    ]


def of_example(inputs: Sequence[Any], batched: Sequence[bool], number: int) -> list[Any]:
    """The operands of one example; 0-d ones are NumPy scalars."""
    return [x[number][()] if has else x for x, has in zip(inputs, batched, strict=True)]


def mixed(batches: Sequence[Any], inputs: Sequence[Any], batched: Sequence[bool]) -> list[Any]:
    """The batched operands, and for the others those that all examples share."""
    return [b if has else np.asarray(x)[()] for b, x, has in zip(batches, inputs, batched, strict=True)]


def loop(op: Any, inputs: Sequence[Any], batched: Sequence[bool], size: int, type: Any) -> Any:
    """What a batch rule should give, by a Python loop. `type` is that of one result."""
    results = [op.evaluate(*of_example(inputs, batched, i)) for i in range(size)]
    return np.array(results, type.dtype).reshape((size, *type.shape))


def assert_same(found: Any, expected: Any, message: str = "") -> None:
    """Equal types, and values up to the rounding of sums in another order."""
    assert found.shape == expected.shape, f"{message}: shape {found.shape}, expected {expected.shape}"
    assert found.dtype == expected.dtype, f"{message}: dtype {found.dtype}, expected {expected.dtype}"
    rtol = RTOL.get(expected.dtype, 0)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol, err_msg=message)


def check_batch_rule(
    op: Any, inputs: Sequence[Any], rng: np.random.Generator, sizes: Sequence[int] = (3, 1, 0)
) -> None:
    """Everything that holds for the batch rule of a primitive."""
    type = op.infer(*map(type_of, inputs))
    for size in sizes:
        batches = operands_of_examples(op, inputs, size, rng)
        for batched in choices(len(inputs)):
            given = mixed(batches, inputs, batched)
            kept = [np.array(x) for x in given]
            found = op.batch(size, given, batched)
            assert_same(np.asarray(found), loop(op, given, batched, size, type), f"batched {batched}, size {size}")
            for x, old in zip(given, kept, strict=True):
                np.testing.assert_array_equal(x, old, err_msg="an operand was changed")
