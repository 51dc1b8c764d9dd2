"""The linear layer in both ways of writing it, and the multilayer perceptron.

    linear       z = A^T x + b, A has shape (n_in, n_out);  a batch of rows: Z = X A + b
    linear_ax    z = A x + b,   A has shape (n_out, n_in);  a batch of rows: Z = X A^T + b

With cotangent G of Z the gradients are, in the first form, X^T G for A, G A^T for X and the sum of the rows of G for b;
in the second, G^T X for A and G A for X.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, DtypeError, ShapeError
from fungrad.ir.types import type_of
from fungrad.nn.activations import relu
from fungrad.nn.checks import as_array

Parameters = list[tuple[Any, Any]]  # [(A, b), ...]


def linear(x: Any, A: Any, b: Any = None) -> Any:
    """x A + b, the lecture's A^T x + b for one example.

    Args:
        x: shape (..., n_in), one example or a batch of rows.
        A: shape (n_in, n_out).
        b: shape (n_out,), or None.

    Returns:
        Shape (..., n_out), in NumPy's common dtype of the operands.

    Raises:
        ShapeError: the shapes do not fit.
    """
    x, A, b = _operands("linear", x, A, b, n_in=0)
    return x @ A if b is None else x @ A + b


def linear_ax(x: Any, A: Any, b: Any = None) -> Any:
    """A x + b for one example, x A^T + b for a batch of rows.

    Args:
        x: shape (..., n_in).
        A: shape (n_out, n_in).
        b: shape (n_out,), or None.

    Returns and raises as `linear`.
    """
    x, A, b = _operands("linear_ax", x, A, b, n_in=1)
    z = A @ x if x.ndim == 1 else x @ A.T
    return z if b is None else z + b


def init_linear(
    seed: int | np.random.Generator, n_in: int, n_out: int, *, dtype: Any = np.float64, scaling: str = "he"
) -> tuple[Any, Any]:
    """Random weights A of shape (n_in, n_out) and a zero bias, for `linear`.

    Args:
        seed: an int, or a NumPy Generator to draw from.
        dtype: np.float32 or np.float64.
        scaling: "he" draws A from a normal of variance 2 / n_in, which keeps the size of activations through relu
            layers (He et al., 2015); "glorot" draws uniformly from +-sqrt(6 / (n_in + n_out)), for tanh and sigmoid
            (Glorot and Bengio, 2010).

    Raises:
        ArgumentError: a size is not a positive int, or the seed or the scaling is unknown.
        DtypeError: the dtype is not float32 or float64.
    """
    for name, size in (("n_in", n_in), ("n_out", n_out)):
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ArgumentError(f"init_linear: {name} must be a positive int, got {size!r}.")
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DtypeError(f"init_linear: dtype must be float32 or float64, got {kind}.")
    rng = generator("init_linear", seed)
    if scaling == "he":
        A = rng.normal(0.0, math.sqrt(2.0 / n_in), (n_in, n_out))
    elif scaling == "glorot":
        limit = math.sqrt(6.0 / (n_in + n_out))
        A = rng.uniform(-limit, limit, (n_in, n_out))
    else:
        raise ArgumentError(f"init_linear: scaling must be 'he' or 'glorot', got {scaling!r}.")
    return A.astype(kind), np.zeros(n_out, kind)


def init_mlp(
    seed: int | np.random.Generator, sizes: Sequence[int], *, dtype: Any = np.float64, scaling: str = "he"
) -> Parameters:
    """Parameters `[(A, b), ...]` of a perceptron with layers of these sizes, from input to output.

    >>> [A.shape for A, b in init_mlp(0, [64, 32, 10])]
    [(64, 32), (32, 10)]

    Args and errors as `init_linear`; there must be at least two sizes.
    """
    widths = list(sizes) if isinstance(sizes, Sequence) else []
    if len(widths) < 2:
        raise ArgumentError(f"init_mlp: sizes must list at least the input and the output size, got {sizes!r}.")
    rng = generator("init_mlp", seed)
    return [init_linear(rng, m, n, dtype=dtype, scaling=scaling) for m, n in pairwise(widths)]


def mlp(params: Parameters, x: Any, activation: Callable[[Any], Any] = relu) -> Any:
    """The perceptron: z = activation(z A + b) for each layer, without activation after the last.

    Args:
        params: `[(A, b), ...]` as `init_mlp` makes them.
        x: shape (..., n_in).
        activation: any function of an array.

    Returns:
        The logits, shape (..., n_out).
    """
    if len(params) == 0:
        raise ArgumentError("mlp: params has no layers; make it with init_mlp.")
    *hidden, (A, b) = params
    for weights, bias in hidden:
        x = activation(linear(x, weights, bias))
    return linear(x, A, b)


def generator(function: str, seed: int | np.random.Generator) -> np.random.Generator:
    """A NumPy generator from a seed, or the generator itself."""
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"{function}: seed must be a non-negative int or a np.random.Generator, got {seed!r}.")
    return np.random.default_rng(seed)


def _operands(function: str, x: Any, A: Any, b: Any, n_in: int) -> tuple[Any, Any, Any]:
    """The operands as arrays, after checking that `x` and `b` fit A, whose axis `n_in` runs over the inputs."""
    x, A = as_array(function, "x", x), as_array(function, "A", A)
    n_out = 1 - n_in
    if A.ndim != 2:
        raise ShapeError(f"{function}: A must be a matrix, got {type_of(A)}.")
    if x.ndim == 0 or x.shape[-1] != A.shape[n_in]:
        other = ("linear_ax", "linear")[n_in]
        hint = f" Is A meant for {other}?" if x.ndim and x.shape[-1] == A.shape[n_out] else ""
        raise ShapeError(
            f"{function}: x is {type_of(x)}, but A {type_of(A)} takes inputs of {A.shape[n_in]} features.{hint}"
        )
    if b is not None:
        b = as_array(function, "b", b)
        if b.shape != (A.shape[n_out],):
            expected = f"({A.shape[n_out]},)"
            raise ShapeError(f"{function}: b is {type_of(b)}, expected shape {expected} to fit A {type_of(A)}.")
    return x, A, b
