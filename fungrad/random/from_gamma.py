"""Random numbers made of gamma numbers, and like these differentiable in their parameters.

Arguments `key`, `shape` and `dtype` are those of `gamma`; parameters are positive numbers or arrays that broadcast to
`shape`, which is by default what they broadcast to. Where an argument is not what it should be, the functions raise
ArgumentError, DtypeError or ShapeError.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, ShapeError
from fungrad.nn.activations import softmax
from fungrad.random.checks import as_float, as_key, as_shape, float_dtype, parameters
from fungrad.random.continuous import exponential, normal
from fungrad.random.discrete import rademacher
from fungrad.random.gamma import gamma, loggamma
from fungrad.random.keys import split


def beta(key: Any, a: Any, b: Any, shape: Any = None, dtype: Any = np.float64) -> Any:
    """Beta numbers, of density proportional to x**(a - 1) (1 - x)**(b - 1), between 0 and 1.

    They are G / (G + H) of gamma numbers G and H, taken as logarithms, so that small parameters do no harm.

    >>> from fungrad import random
    >>> round(float(beta(random.key(0), 2.0, 6.0, (10_000,)).mean()), 2)
    0.25
    """
    key, dtype = as_key("beta", key), float_dtype("beta", dtype)
    shape, (a, b) = parameters("beta", shape, dtype, a=a, b=b)
    for_a, for_b = split(key)
    g, h = loggamma(for_a, a, shape, dtype), loggamma(for_b, b, shape, dtype)
    most = np.maximum(g, h)
    g, h = np.exp(g - most), np.exp(h - most)
    return g / (g + h)


def dirichlet(key: Any, alpha: Any, shape: Any = None, dtype: Any = np.float64) -> Any:
    """Dirichlet vectors: positive numbers of sum 1, of density proportional to the product of x_i**(alpha_i - 1).

    Args:
        key, dtype: see the module.
        alpha: positive, of shape (..., n).
        shape: of the result without its last axis, which has n elements; by default that of `alpha` without its last.

    >>> from fungrad import random
    >>> x = dirichlet(random.key(0), np.array([1.0, 2.0, 7.0]), (10_000,))
    >>> np.round(x.mean(axis=0), 1)
    array([0.1, 0.2, 0.7])
    """
    key, dtype = as_key("dirichlet", key), float_dtype("dirichlet", dtype)
    alpha = as_float("dirichlet", "alpha", alpha)
    if alpha.ndim == 0:
        raise ShapeError("dirichlet: alpha must have an axis of parameters, got one number.")
    shape = alpha.shape[:-1] if shape is None else as_shape("dirichlet", shape)
    shape, (alpha,) = parameters("dirichlet", (*shape, alpha.shape[-1]), dtype, alpha=alpha)
    return softmax(loggamma(key, alpha, shape, dtype))


def chisquare(key: Any, df: Any, shape: Any = None, dtype: Any = np.float64) -> Any:
    """Chi-square numbers with `df` degrees of freedom: twice gamma numbers of df / 2.

    >>> from fungrad import random
    >>> round(float(chisquare(random.key(0), 4.0, (10_000,)).mean()), 1)
    4.0
    """
    key, dtype = as_key("chisquare", key), float_dtype("chisquare", dtype)
    shape, (df,) = parameters("chisquare", shape, dtype, df=df)
    return 2 * np.exp(loggamma(key, df / 2, shape, dtype))


def t(key: Any, df: Any, shape: Any = None, dtype: Any = np.float64) -> Any:
    """Student's t numbers with `df` degrees of freedom: a normal number over the root of a chi-square one per degree.

    >>> from fungrad import random
    >>> t(random.key(0), 5.0, (3,)).shape
    (3,)
    """
    key, dtype = as_key("t", key), float_dtype("t", dtype)
    shape, (df,) = parameters("t", shape, dtype, df=df)
    for_normal, for_gamma = split(key)
    half = df / 2
    return normal(for_normal, shape, dtype) * np.sqrt(half / gamma(for_gamma, half, shape, dtype))


def generalized_normal(key: Any, p: Any, shape: Any = (), dtype: Any = np.float64) -> Any:
    """Numbers of density proportional to exp(-|x|**p), for one positive number `p`.

    >>> from fungrad import random
    >>> x = generalized_normal(random.key(0), 2.0, (10_000,))  # normal, of variance 1/2
    >>> round(float(x.var()), 1)
    0.5
    """
    key, dtype = as_key("generalized_normal", key), float_dtype("generalized_normal", dtype)
    shape = as_shape("generalized_normal", shape)
    _, (p,) = parameters("generalized_normal", (), dtype, p=p)
    for_gamma, for_sign = split(key)
    sign = rademacher(for_sign, shape).astype(dtype)
    return sign * gamma(for_gamma, 1 / p, shape, dtype) ** (1 / p)


def ball(key: Any, d: int, p: Any = 2.0, shape: Any = (), dtype: Any = np.float64) -> Any:
    """Points spread evenly in the unit ball of the p-norm in `d` dimensions.

    Barthe, Guedon, Mendelson and Naor, "A probabilistic approach to the geometry of the l_p^n ball", Annals of
    Probability 33 (2005).

    Args:
        key, dtype: see the module.
        d: the number of dimensions.
        p: a positive number; 2 for the Euclidean ball.
        shape: of the result without its last axis, which has `d` elements.

    >>> from fungrad import random
    >>> x = ball(random.key(0), 3, shape=(100,))
    >>> x.shape, bool(np.all(np.sum(x**2, axis=-1) < 1))
    ((100, 3), True)
    """
    key, dtype = as_key("ball", key), float_dtype("ball", dtype)
    shape = as_shape("ball", shape)
    if isinstance(d, bool) or not isinstance(d, int | np.integer) or d < 0:
        raise ArgumentError(f"ball: d is a number of dimensions, an int that is not negative, got {d!r}.")
    _, (p,) = parameters("ball", (), dtype, p=p)
    for_points, for_radius = split(key)
    x = generalized_normal(for_points, p, (*shape, int(d)), dtype)
    e = exponential(for_radius, shape, dtype)
    return x / ((np.sum(np.abs(x) ** p, axis=-1) + e) ** (1 / p))[..., None]
