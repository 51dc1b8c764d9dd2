"""Hypothesis strategies for what fungrad works on: shapes, dtypes, arrays in any memory layout, and pytrees of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fungrad.errors import MissingPackageError
from fungrad.ir.types import ArrayType, DType, array_type
from fungrad.testing.values import layouts as other_layouts

try:
    from hypothesis import strategies as st
except ImportError as error:  # pragma: no cover
    raise MissingPackageError(
        "fungrad.testing.strategies needs Hypothesis, which is not installed: pip install hypothesis"
    ) from error

Shape = tuple[int, ...]

FLOATS: tuple[DType, ...] = (np.dtype(np.float64), np.dtype(np.float32))
INTEGERS: tuple[DType, ...] = tuple(np.dtype(kind) for kind in ("i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1"))
DTYPES: tuple[DType, ...] = (*FLOATS, *INTEGERS, np.dtype(np.bool_))


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 3) -> st.SearchStrategy[Shape]:
    """Shapes with so many axes of such extents; by default 0-d and empty ones are among them."""
    return st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


def dtypes(kinds: str = "fiub") -> st.SearchStrategy[Any]:
    """The dtypes that fungrad supports, of the given kinds as NumPy writes them: f, i, u, b."""
    return st.sampled_from([dtype for dtype in DTYPES if dtype.kind in kinds])


def rngs() -> st.SearchStrategy[np.random.Generator]:
    """NumPy's generators. Drawing numbers by one is much faster than drawing each of them by Hypothesis."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def array_types(draw: st.DrawFn, shape: Any = None, dtype: Any = None) -> ArrayType:
    """Types of arrays. `shape` and `dtype` are fixed, or strategies, or None for any."""
    return array_type(_drawn(draw, shapes() if shape is None else shape), np.dtype(_drawn(draw, dtype or dtypes())))


@st.composite
def arrays(
    draw: st.DrawFn,
    dtype: Any = np.float64,
    shape: Any = None,
    low: float = -2.0,
    high: float = 2.0,
    layouts: bool = False,
) -> Any:
    """Arrays with elements between two bounds; a NumPy scalar where the shape is ().

    Args:
        dtype: of the elements, or a strategy for it.
        shape: a tuple, or a strategy for it; by default `shapes()`.
        low: the smallest element; for booleans it plays no part.
        high: the largest element. Elements of integer arrays lie between the bounds, too.
        layouts: whether some arrays are in Fortran order, have gaps or negative strides, or are read-only.

    Elements are spread evenly, to one part in 2**53. Shrinking makes the shape smaller, not the elements rounder.
    """
    kind = np.dtype(_drawn(draw, dtype))
    extents = _drawn(draw, shapes() if shape is None else shape)
    rng = draw(rngs())
    if kind.kind == "f":
        x = np.asarray(rng.uniform(low, high, extents)).astype(kind)
    elif kind.kind == "b":
        x = np.asarray(rng.integers(0, 2, extents)) == 1
    else:
        info = np.iinfo(kind)
        least, most = max(info.min, int(np.ceil(low))), min(info.max, int(np.floor(high)))
        x = np.asarray(rng.integers(least, most, extents, endpoint=True)).astype(kind)
    if layouts and draw(st.booleans()):
        x = draw(st.sampled_from(list(other_layouts(x))))
    return x if x.ndim else x[()]


def pytrees(
    leaves: st.SearchStrategy[Any] | None = None,
    max_leaves: int = 6,
    containers: Callable[[st.SearchStrategy[Any]], st.SearchStrategy[Any]] | None = None,
) -> st.SearchStrategy[Any]:
    """Nested tuples, lists and dicts, and None, with such leaves; by default `arrays()`.

    Args:
        leaves: a strategy for a leaf.
        max_leaves: about how many there are at most.
        containers: from a strategy of children to one of further containers, such as your registered classes.
    """

    def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        known = [
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
            st.none(),
        ]
        return st.one_of(*known, *([containers(inner)] if containers else []))

    return st.recursive(arrays() if leaves is None else leaves, nested, max_leaves=max_leaves)


def _drawn(draw: st.DrawFn, x: Any) -> Any:
    return draw(x) if isinstance(x, st.SearchStrategy) else x
