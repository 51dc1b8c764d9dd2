"""`np.einsum`: subscripts read once, then diagonals, sums of lone labels, and pairwise contractions.

'bij,bjk->bik'     labels of the operands and of the result
'ij,jk'            implicit result: labels that occur once, in alphabetical order
'...i,i'           the ellipsis stands for axes that broadcast
a, [0, 1], b, [1]  labels as numbers
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fungrad.errors import ArgumentError, ShapeError
from fungrad.numpy.promotion import as_value, cast, common_dtype
from fungrad.numpy.registry import implements
from fungrad.numpy.views import perhaps_view_of
from fungrad.primitives.contract import Dot
from fungrad.primitives.reduce import Sum
from fungrad.primitives.shape import broadcast, reshape, transpose
from fungrad.trace import bind, user_line


class Labeled(NamedTuple):
    """An array with a distinct label for each axis."""

    array: Any
    labels: str


@implements(np.einsum)
def einsum(*operands: Any, out: Any = None, optimize: Any = False, dtype: Any = None) -> Any:
    subscripts, arrays = _read_operands(operands)
    values = [as_value(x) for x in arrays]
    result = common_dtype(*values) if dtype is None else np.dtype(dtype)
    inputs, output = _expand(subscripts, [x.ndim for x in values])
    extents = _extents(subscripts, inputs, [x.shape for x in values])
    for label in output:
        if label not in extents or output.count(label) > 1:
            raise ArgumentError(
                f"np.einsum: the result of {subscripts!r} names a label no operand has, or twice, at {user_line()}."
            )
    terms = [_without_repeats(cast(x, result), labels, extents) for x, labels in zip(values, inputs, strict=True)]
    for i, j in _order(terms, output, extents):
        second, first = terms.pop(j), terms.pop(i)
        terms.append(_contract(first, second, {label for t in terms for label in t.labels} | set(output)))
    total = _finish(terms[0], output, extents)
    return perhaps_view_of(values[0], total) if len(values) == 1 else total


def _read_operands(operands: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    if isinstance(operands[0], str):
        return operands[0].replace(" ", ""), operands[1:]
    arrays = operands[: len(operands) - len(operands) % 2 : 2]
    lists = list(operands[1::2])
    text = ",".join(map(_letters, lists))
    return (f"{text}->{_letters(operands[-1])}" if len(operands) % 2 else text), arrays


def _letters(labels: Any) -> str:
    return "".join("..." if label is Ellipsis else string.ascii_letters[label] for label in labels)


def _expand(subscripts: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The labels of each operand and of the result, with every ellipsis replaced by labels of its own."""
    left, arrow, right = subscripts.partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks):
        raise ArgumentError(
            f"np.einsum: {subscripts!r} names {len(parts)} operands, but {len(ranks)} were given, at {user_line()}."
        )
    hidden = [rank - len(part.replace("...", "")) for part, rank in zip(parts, ranks, strict=True)]
    for position, (part, missing) in enumerate(zip(parts, hidden, strict=True)):
        if missing < 0 or (missing and "..." not in part):
            raise ShapeError(
                f"np.einsum: {part!r} in {subscripts!r} does not fit operand {position}, which has {ranks[position]} "
                f"axes, at {user_line()}."
            )
    unused = [c for c in string.ascii_letters if c not in subscripts]
    dots = "".join(unused[: max(hidden, default=0)])
    inputs = [part.replace("...", dots[len(dots) - n :]) for part, n in zip(parts, hidden, strict=True)]
    if arrow:
        return inputs, right.replace("...", dots)
    named = left.replace(",", "").replace("...", "")
    return inputs, dots + "".join(sorted(c for c in set(named) if named.count(c) == 1))


def _extents(subscripts: str, inputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    extents: dict[str, int] = {}
    for labels, shape in zip(inputs, shapes, strict=True):
        for label, extent in zip(labels, shape, strict=True):
            known = extents.setdefault(label, extent)
            if known == 1:
                extents[label] = extent
            elif extent not in (1, known):
                raise ShapeError(
                    f"np.einsum: label {label!r} in {subscripts!r} has extents {known} and {extent}, at {user_line()}."
                )
    return extents


def _without_repeats(x: Any, labels: str, extents: dict[str, int]) -> Labeled:
    """Diagonals of repeated labels; axes of extent 1 that broadcast against a larger one are dropped."""
    for label in sorted(set(labels)):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            x = np.diagonal(x, axis1=i, axis2=j)  # the diagonal becomes the last axis
            labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + label
    kept = "".join(c for c, n in zip(labels, x.shape, strict=True) if n == extents[c])
    return Labeled(reshape(x, tuple([extents[c] for c in kept])), kept)


def _order(terms: Sequence[Labeled], output: str, extents: dict[str, int]) -> list[tuple[int, int]]:
    """Which two terms to contract next, as positions in the shrinking list; NumPy's greedy order for three or more."""
    if len(terms) <= 2:
        return [(0, 1)] * (len(terms) - 1)
    shapes = [np.broadcast_to(np.float64(0), [extents[c] for c in t.labels]) for t in terms]
    path = np.einsum_path(f"{','.join(t.labels for t in terms)}->{output}", *shapes, optimize="greedy")[0][1:]
    return (
        [(min(step), max(step)) for step in path]
        if all(len(step) == 2 for step in path)
        else [(0, 1)] * (len(terms) - 1)
    )


def _contract(a: Labeled, b: Labeled, needed: set[str]) -> Labeled:
    """The product of two terms, summed over the labels that nothing else needs."""
    a, b = (_summed(x, needed | set(y.labels)) for x, y in ((a, b), (b, a)))
    shared = [c for c in a.labels if c in b.labels]
    summed = [c for c in shared if c not in needed]
    batch = [c for c in shared if c in needed]
    free_a, free_b = ("".join(c for c in x.labels if c not in shared) for x in (a, b))
    if not summed:  # no contraction: an elementwise product, broadcast
        labels = "".join(batch) + free_a + free_b
        return Labeled(_aligned(a, labels) * _aligned(b, labels), labels)
    axes = [tuple([x.labels.index(c) for c in group]) for group in (summed, batch) for x in (a, b)]
    return Labeled(bind(Dot(*axes), a.array, b.array), "".join(batch) + free_a + free_b)


def _summed(x: Labeled, needed: set[str]) -> Labeled:
    """Labels that nothing else needs, summed."""
    axes = tuple([i for i, c in enumerate(x.labels) if c not in needed])
    return Labeled(bind(Sum(axes), x.array), "".join(c for c in x.labels if c in needed)) if axes else x


def _aligned(x: Labeled, labels: str) -> Any:
    """The array with its axes in the order of `labels`, with extents of 1 for those it lacks."""
    order = tuple(sorted(range(len(x.labels)), key=lambda i: labels.index(x.labels[i])))
    moved = transpose(x.array, order)
    own = iter(moved.shape)
    return reshape(moved, tuple([next(own) if c in x.labels else 1 for c in labels]))


def _finish(x: Labeled, output: str, extents: dict[str, int]) -> Any:
    """The last term summed, transposed and broadcast to the labels of the result."""
    x = _summed(x, set(output))
    return broadcast(_aligned(x, output), tuple([extents[c] for c in output]))
