"""Normal numbers that depend on each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ShapeError
from fungrad.numpy.promotion import broadcast_shape
from fungrad.primitives.linalg import Cholesky
from fungrad.random.checks import as_float, as_key, as_shape, fits, float_dtype
from fungrad.random.continuous import normal
from fungrad.trace import bind


def multivariate_normal(key: Any, mean: Any, cov: Any, shape: Any = None, dtype: Any = np.float64) -> Any:
    """Normal vectors of a mean and a covariance: mean + L z for standard normal z and the Cholesky factor L.

    Args:
        key: uint32 of shape (2,).
        mean: of shape (..., n); the result is differentiable in it.
        cov: positive definite matrices of shape (..., n, n), of which the lower triangle is read; the result is
            differentiable in it.
        shape: of the vectors, without the axis of n; by default that to which the leading axes of both broadcast.
        dtype: float32 or float64.

    Returns:
        An array of shape (*shape, n).

    Raises:
        DtypeError, ShapeError: an argument is not what it should be.
        NotPositiveDefiniteError: a covariance is not positive definite.

    >>> from fungrad import random
    >>> x = multivariate_normal(random.key(0), np.array([1.0, 2.0]), np.array([[2.0, 1.0], [1.0, 3.0]]), (100_000,))
    >>> np.mean(x, axis=0).round(1), np.cov(x.T).round(1)
    (array([1., 2.]), array([[2., 1.],
           [1., 3.]]))
    """
    name = "multivariate_normal"
    key, dtype = as_key(name, key), float_dtype(name, dtype)
    mean, cov = as_float(name, "mean", mean), as_float(name, "cov", cov)
    if mean.ndim < 1:
        raise ShapeError(f"{name}: mean must be a vector or several, got a number.")
    n = mean.shape[-1]
    if cov.shape[-2:] != (n, n):
        raise ShapeError(f"{name}: cov must have the shape (..., {n}, {n}) for a mean of {n}, got {cov.shape}.")
    if shape is None:
        shape = broadcast_shape(name, mean.shape[:-1], cov.shape[:-2])
    shape = as_shape(name, shape)
    fits(name, "mean", mean, (*shape, n))
    fits(name, "cov", cov, (*shape, n, n))
    z = normal(key, (*shape, n), dtype)
    factor = bind(Cholesky(), cov).astype(dtype)
    return mean.astype(dtype) + np.squeeze(np.matmul(factor, z[..., None]), -1)
