"""Distances between floats in units of the last place."""

from __future__ import annotations

from typing import Any

import numpy as np


def _ordered(x: Any) -> Any:
    """Floats as integers whose differences count the floats between; both zeros are 0."""
    kind = np.int64 if x.dtype == np.float64 else np.int32
    bits = np.ascontiguousarray(x).view(kind).astype(np.int64)
    low = np.iinfo(kind).min
    return np.where(bits < 0, low - bits, bits)


def ulp_distance(x: Any, y: Any) -> Any:
    """How many floats lie between x and y: 0 where both are nan, huge where one is. Differences are taken as floats."""
    x, y = np.atleast_1d(np.asarray(x)), np.atleast_1d(np.asarray(y))
    nan_x, nan_y = np.isnan(x), np.isnan(y)
    a, b = _ordered(x), _ordered(y)
    near = (a < 0) == (b < 0)  # then the difference of integers does not overflow
    apart = np.where(near, np.abs(a - np.where(near, b, a)).astype(float), np.abs(a.astype(float) - b.astype(float)))
    return np.where(nan_x | nan_y, np.where(nan_x & nan_y, 0.0, 2.0**63), apart)
