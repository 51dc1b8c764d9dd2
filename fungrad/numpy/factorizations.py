"""Factorizations of `np.linalg`, and what is computed from singular values."""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, ShapeError, UnsupportedError
from fungrad.numpy.linear_algebra import square
from fungrad.numpy.promotion import cast, common_dtype
from fungrad.numpy.registry import implements
from fungrad.numpy.ufuncs import as_float
from fungrad.primitives.factorizations import Eigh, PseudoInverse, Qr, Svd
from fungrad.trace import bind, user_line

_EighResult: Any = type(np.linalg.eigh(np.eye(1)))
_SvdResult: Any = type(np.linalg.svd(np.eye(1)))
_QrResult: Any = type(np.linalg.qr(np.eye(1)))


def matrices(name: str, a: Any) -> Any:
    """An operand as matrices of floats."""
    x = as_float(a)
    if x.ndim < 2:
        raise ShapeError(f"{name} needs matrices along the last two axes, got shape {x.shape}, at {user_line()}.")
    return x


@implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    if not isinstance(UPLO, str) or UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f"np.linalg.eigh: UPLO must be 'L' or 'U', got {UPLO!r}, at {user_line()}.")
    return _EighResult(*bind(Eigh(UPLO.upper() == "L"), square("np.linalg.eigh", a)))


@implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    return eigh(a, UPLO)[0]


@implements(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    x = matrices("np.linalg.svd", a)
    if full_matrices and compute_uv and x.shape[-1] != x.shape[-2]:
        raise UnsupportedError(
            f"np.linalg.svd: full_matrices=True adds vectors without a derivative to those of matrices that are not "
            f"square, got shape {x.shape}, at {user_line()}. Call np.linalg.svd(a, full_matrices=False)."
        )
    u, s, vt = bind(Svd(), x)
    return _SvdResult(u, s, vt) if compute_uv else s


@implements(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    return svd(x, compute_uv=False)


@implements(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    x = matrices("np.linalg.qr", a)
    rows, columns = x.shape[-2:]
    if mode not in ("reduced", "complete", "r") or (mode == "complete" and rows > columns):
        raise UnsupportedError(
            f"np.linalg.qr: mode={mode!r} cannot be traced for shape {x.shape}, at {user_line()}. Use 'reduced' or 'r'."
        )
    q, r = bind(Qr(), x[..., :rows])
    if columns > rows:
        r = np.concatenate([r, np.matmul(np.swapaxes(q, -1, -2), x[..., rows:])], axis=-1)
    return r if mode == "r" else _QrResult(q, r)


@implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, *, rtol: Any = np._NoValue) -> Any:
    x = matrices("np.linalg.pinv", a)
    if rcond is None:
        rcond = 1e-15 if rtol is np._NoValue else rtol
    return bind(PseudoInverse(_cutoff("np.linalg.pinv", rcond, x)), x)


@implements(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    x, y = matrices("np.linalg.lstsq", a), as_float(b)
    dtype = common_dtype(x, y)
    x, y = cast(x, dtype), cast(y, dtype)
    m, n = x.shape[-2:]
    if x.ndim != 2 or y.ndim not in (1, 2) or y.shape[0] != m:
        raise ShapeError(
            f"np.linalg.lstsq: shapes {x.shape} and {y.shape} do not fit: a must be one matrix, and b a vector or a "
            f"matrix with as many rows, at {user_line()}."
        )
    cutoff = _cutoff("np.linalg.lstsq", rcond, x)
    solution = np.matmul(bind(PseudoInverse(cutoff), x), y)
    rest = y - np.matmul(x, solution)
    residuals = np.sum(np.square(rest if y.ndim == 2 else rest[:, None]), axis=0) if m > n else np.zeros(0, dtype)
    s = svdvals(x)
    return solution, residuals, np.count_nonzero(s > cutoff * np.max(s, initial=0)), s


@implements(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, *, rtol: Any = None) -> Any:
    x = as_float(A)
    if x.ndim < 2:
        return np.any(x != 0).astype(int)
    s = svdvals(x)
    if tol is None:
        limit = _cutoff("np.linalg.matrix_rank", rtol, x) * np.max(s, axis=-1, keepdims=True, initial=0)
    else:
        limit = np.expand_dims(tol, -1)
    return np.count_nonzero(s > limit, axis=-1)


@implements(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    x = matrices("np.linalg.cond", x)
    if p is None or p in (2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    x = square("np.linalg.cond", x)
    return np.linalg.norm(x, p, axis=(-2, -1)) * np.linalg.norm(np.linalg.inv(x), p, axis=(-2, -1))


def _cutoff(name: str, relative: Any, x: Any) -> float:
    """The fraction of the largest singular value below which others count as 0; by default that of rounding."""
    if relative is None:
        return float(np.finfo(x.dtype).eps) * int(max(x.shape[-2:]))
    if np.ndim(relative) or not isinstance(relative, (int, float, np.number)):
        raise ArgumentError(
            f"{name}: the cutoff must be one number that is not traced, got {relative!r}, at {user_line()}."
        )
    return float(relative)
