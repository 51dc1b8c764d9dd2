"""Every function in the table against NumPy: value, shape and dtype on plain arrays, gradient by finite differences."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fungrad as fg
from fungrad.numpy import ufuncs
from fungrad.numpy.registry import FUNCTIONS
from fungrad.trace import Tracer
from tests.numpy.test_corpus import central_differences

RNG = np.random.default_rng(11)
INPUTS: dict[str, Any] = {
    "x": RNG.normal(size=(3, 4)),
    "y": RNG.normal(size=(3, 4)),
    "v": RNG.normal(size=5),
    "m": RNG.normal(size=(4, 4)),
    "p": RNG.uniform(0.2, 0.9, size=5),
    "t": RNG.normal(size=(2, 3, 4)),
    "s": np.float64(0.7),
    "n": np.array([0.5, np.nan, -1.0, 2.0]),
    "k": np.array([2, 0, 1, 3]),
}

EXPRESSIONS = ["", "np.sum(x)                                   np.sum(x, axis=1)                       np.sum(x, 0, keepdims=True)", "np.sum(t, axis=(0, -1))                     np.sum(x, where=y > 0, initial=2.0)     np.sum(k)", "np.sum(x > 0, axis=0)                       np.prod(x, axis=1)                      np.prod(x, where=x > 0)", "np.mean(x, axis=0, keepdims=True)           np.mean(k)                              np.mean(x, where=y > 0)", "np.mean(x, axis=(0, 1))                     np.max(x)                               np.max(x, axis=1, keepdims=True)", "np.max(x, initial=0.5)                      np.max(x, axis=0, where=y > 0, initial=-1.0)", "np.min(t, axis=(0, 2))                      np.min(x > 0, axis=0)                   np.ptp(x, axis=1)", "np.any(x > 1, axis=0)                       np.all(x > -1)                          np.all(k)", "np.count_nonzero(x > 0, axis=1)             np.argmax(x)                            np.argmax(x, axis=1, keepdims=True)", "np.argmin(t, axis=1)                        np.cumsum(x)                            np.cumsum(x, axis=1)", "np.cumprod(x, axis=0)                       np.cumprod(x)                           np.cumulative_sum(v, include_initial=True)", "np.cumulative_prod(x, axis=1)               np.trace(m)                             np.trace(t, 1, 1, 2)", "np.nonzero(k)[0]                            np.flatnonzero(k > 1)                   np.argwhere(k > 1)", "np.var(x)                                   np.var(x, axis=1, ddof=1)               np.std(x, axis=0, keepdims=True)", "np.average(x, axis=1)                       np.average(x, weights=np.exp(y))        np.average(x, 0, [1, 2, 3])", "np.cov(x)                                   np.cov(x, rowvar=False, bias=True)      np.corrcoef(x, y)", "np.quantile(v, 0.3)                         np.quantile(x, [0.1, 0.5], axis=1)      np.quantile(t, 0.7, axis=(0, 2), keepdims=True)", 'np.quantile(v, 0.3, method="lower")         np.quantile(v, 0.3, method="midpoint")  np.quantile(v, 0.3, method="higher")', "np.percentile(x, 40, axis=0)                np.median(x, axis=1)                    np.median(x, keepdims=True)", "np.nansum(n)                                np.nanprod(n)                           np.nanmean(n)", "np.nanvar(n)                                np.nanstd(n, ddof=1)                    np.nanmax(n)", "np.nanmin(n, keepdims=True)                 np.nancumsum(n)", 'np.reshape(x, (2, -1))                      np.reshape(x, (4, 3), order="F")        np.ravel(x, "F")', "np.ravel(t)                                 np.squeeze(x[:, None])                  np.squeeze(x[None], axis=0)", "np.expand_dims(x, (0, 2))                   np.atleast_1d(s)                        np.atleast_2d(v)", "np.atleast_3d(x)                            np.transpose(t, (1, 2, 0))              np.permute_dims(x)", "np.matrix_transpose(t)                      np.swapaxes(t, 0, -1)                   np.moveaxis(t, (0, 1), (-1, 0))", "np.rollaxis(t, 2)                           np.broadcast_to(v, (2, 5))              np.broadcast_arrays(x, x[:1])[1]", 'np.meshgrid(v, p)[1]                        np.meshgrid(v, p, indexing="ij")[0]     np.meshgrid(v, p, sparse=True)[0]', "np.shape(x)                                 np.ndim(x)                              np.size(x, 1)", "np.concatenate([x, y], axis=1)              np.concatenate([x, v], axis=None)       np.concatenate([x, np.ones((1, 4))])", "np.stack([x, y], axis=-1)                   np.stack([s, 2.0 * s])                  np.vstack([v, p])", "np.hstack([v, p])                           np.hstack([x, y])                       np.dstack([v, p])", "np.column_stack([v, p])                     np.block([[x, y], [y, x]])              np.append(x, y, axis=0)", "np.append(v, [1.0])                         np.array_split(v, 3)[1]                 np.split(x, 2, axis=1)[1]", "np.split(v, [1, 3])[1]                      np.hsplit(x, 2)[0]                      np.vsplit(x, 3)[1]", "np.dsplit(t, 2)[1]                          np.unstack(x, axis=1)[2]                np.repeat(x, 2)", "np.repeat(x, [1, 0, 2], axis=0)             np.tile(x, 2)                           np.tile(v, (2, 3))", "np.roll(x, 2)                               np.roll(x, (1, -2), axis=(0, 1))        np.roll(x, -1, axis=1)", "np.flip(t, (0, 2))                          np.flip(v)                              np.flipud(x)", "np.fliplr(x)                                np.rot90(x)                             np.rot90(t, 3, axes=(1, 2))", "np.delete(x, 1, axis=1)                     np.delete(v, [0, 3])                    np.insert(v, 2, 5.0)", "np.insert(x, 1, x[:, 0], axis=1)            np.insert(v, [1, 1, 3], v[:3])          np.pad(x, 2)", 'np.pad(x, ((0, 1), (2, 0)), constant_values=3.0)                                    np.pad(v, (1, 2), mode="wrap")', 'np.pad(x, 1, mode="symmetric")              np.pad(x, (1, 2), constant_values=((1, 2), (3, 4)))', "np.dot(x, y.T)                              np.dot(t, m)                            np.dot(s, x)", "np.inner(x, y)                              np.vdot(x, y)                           np.outer(v, p)", "np.tensordot(t, x, axes=([1, 2], [0, 1]))   np.tensordot(t, m, 1)                   np.kron(x, y[:2])", "np.cross(x[:, :3], y[:, 1:])                np.cross(t, t[::-1], axis=1)            np.linalg.cross(x[:, :3], y[:, 1:])", "np.linalg.vecdot(x, y)                      np.linalg.matmul(m, m)                  np.linalg.multi_dot([x, m, y.T])", "np.linalg.matrix_power(m, 5)                np.linalg.matrix_power(m, 0)            np.linalg.outer(v, p)", "np.linalg.tensordot(x, m, axes=1)           np.linalg.trace(t, offset=1)            np.linalg.diagonal(t)", "np.linalg.matrix_transpose(x)               np.diagonal(t, -1, 1, 2)                np.diagonal(m, 2)", "np.linalg.norm(x)                           np.linalg.norm(x, axis=1)               np.linalg.norm(x, 1, axis=0)", "np.linalg.norm(x, 1)                        np.linalg.norm(x, -np.inf)              np.linalg.norm(v, 3)", "np.linalg.norm(v, 0)                        np.linalg.norm(v, -np.inf)              np.linalg.norm(x, np.inf, (1, 0), True)", "np.linalg.vector_norm(x, axis=1, ord=1)     np.linalg.matrix_norm(t)", 'np.einsum("ij,kj->ik", x, y)                np.einsum("iij->j", t[:, :2, :])        np.einsum("i,j->", v, p)', 'np.einsum("...j->...", t)                   np.einsum("ab,bc,cd->ad", x, m, m)      np.einsum(x, [0, 1], y, [0, 1], [1])', 'np.einsum("i...,j...", x, y)                np.einsum("ij,jk,kl,il->", x, m, m, x)  np.einsum("ij,jk", x[:, :1], m)', "np.argsort(x)                               np.argsort(x, axis=None)                np.sort(x, axis=0)", "np.sort(x, axis=None)                       np.take(x, [0, 3, 3])                   np.take(x, k[:2], axis=0)", 'np.take(x, [5, -1], axis=1, mode="wrap")    np.take(x, 1, axis=1)                   np.take_along_axis(x, np.argsort(x, 1), 1)', "np.take_along_axis(x, k[:, None] % 3, 0)                    np.compress([True, False, True], x, axis=0)", "np.extract(x > 0, x)                        np.choose(k, [m[0], m[1], m[2], m[3]])  np.searchsorted(np.sort(v), p)", 'np.searchsorted([0.0, 0.5], v, "right")     np.digitize(v, [-1.0, 0.0, 1.0])        np.partition(v, 4)[4]', "np.argpartition(v, 0)[0]", "np.diff(x)                                  np.diff(v, 2, prepend=0.0)              np.diff(x, axis=0, append=x[:1])", "np.diff(v > 0)                              np.ediff1d(v, to_end=[1.0])             np.trapezoid(x, axis=0)", "np.trapezoid(x, [0.0, 0.5, 2.0, 3.0])       np.gradient(v)                          np.gradient(x)[0]", "np.gradient(v, [0.0, 1.0, 3.0, 4.0, 6.0])   np.gradient(x, 0.5, 2.0)[1]             np.interp(p, [0.0, 0.5, 1.0], v[:3])", "np.interp(v, [-0.5, 0.5], [1.0, 2.0], left=7.0)                                     np.interp(p * 9, [0.5, 2.0, 3.0], v[:3], period=4)", "np.polyval(v, x)                            np.vander(v, 3)                         np.vander(p, increasing=True)", 'np.convolve(v, p[:3])                       np.convolve(v, p[:2], "same")           np.convolve(p[:2], v, "valid")', 'np.correlate(v, p)                          np.correlate(p[:2], v, "full")          np.correlate(v, p[:4], "same")', "np.unwrap(v * 9)                            np.apply_along_axis(lambda a: a * a[0], 0, x)", "np.apply_along_axis(np.sum, 1, x)", "np.where(x > 0, x, y)                       np.where(k > 1, 1, 2.5 * s)             np.where(x > 0)[1]", "np.clip(x, -0.5, 0.5)                       np.clip(x, None, y)                     np.clip(x, 0, None)", "np.clip(x, min=-1)                          np.clip(k, 1, 2)                        np.select([x > 1, x > 0], [x, y], -1)", "np.piecewise(v, [v > 0], [np.sqrt, -1.0])   np.nan_to_num(n)                        np.nan_to_num(n, nan=1.5)", "np.isclose(x, y)                            np.isclose(n, n, equal_nan=True)        np.allclose(x, x)", "np.array_equal(x, y)                        np.round(x, 2)                          np.around(x)", "np.fix(x)                                   np.sinc(v)                              np.sinc(0 * v)", "np.tril(m)                                  np.triu(t, 1)                           np.tril(v, -1)", "np.diag(v)                                  np.diag(v, -2)                          np.diag(m, 1)", "np.diagflat(x, 1)                           np.real(x)                              np.imag(x)", "np.isreal(x)                                np.iscomplex(x)                         np.iscomplexobj(x)", "np.isrealobj(x)                             np.isposinf(x)                          np.isneginf(x)", "np.real_if_close(x)                         np.amax(x, axis=1)                      np.amin(x)", "np.zeros_like(x)                            np.ones_like(x, dtype=np.float32)       np.empty_like(x, shape=(2,)) * 0", "np.full_like(x, 2.5)                        np.full_like(x, s)                      np.copy(x)", "np.astype(x, np.float32)                    np.linspace(s, 2 * s, 5)                np.linspace(v, 2.0, 4, endpoint=False)", "np.logspace(s, 2.0, 3)                      np.geomspace(s, 4.0, 3)                 np.ones(2, np.result_type(x, np.float32))", ""]
LINES = [e for line in EXPRESSIONS for e in re.split(r"\s{2,}", line.strip()) if e]


def evaluate(expression: str, values: dict[str, Any]) -> Any:
    return eval(expression, {"np": np}, values)


@pytest.mark.parametrize("expression", LINES)
def test_function_equals_numpy(expression: str) -> None:
    names = [n for n in INPUTS if re.search(rf"\b{n}\b(?!=)", expression) and INPUTS[n].dtype.kind == "f"]
    expected = evaluate(expression, dict(INPUTS))
    weights = np.random.default_rng(5).normal(size=np.shape(expected))
    seen: list[Any] = []

    def scalar(*xs: Any) -> Any:
        out = evaluate(expression, {**INPUTS, **dict(zip(names, xs, strict=True))})
        seen.append(out)
        return np.sum(out * weights) if isinstance(out, np.ndarray | np.generic | Tracer) else xs[0].sum()

    if not names:
        pytest.skip("integers only: nothing to differentiate")
    with np.errstate(invalid="ignore"):
        value, pullback = fg.vjp(scalar, *[INPUTS[n] for n in names])
        gradients = pullback(np.float64(1))
    out = seen[0]
    got = out.value if isinstance(out, Tracer) else out
    assert np.shape(got) == np.shape(expected)
    if isinstance(out, Tracer):
        assert np.asarray(got).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    if not isinstance(out, Tracer) or out.dtype == np.float32:
        return
    for position, gradient in enumerate(gradients):
        slope = central_differences(scalar, [INPUTS[n] for n in names], position)
        slope = np.where(np.isnan(slope), 0.0, slope)
        np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-6)


INTEGER_LINES = [e for e in LINES if re.search(r"\bk\b", e)]


@pytest.mark.parametrize("expression", INTEGER_LINES)
def test_function_of_integers_equals_numpy(expression: str) -> None:
    seen: list[Any] = []

    def scalar(one: Any) -> Any:
        seen.append(evaluate(expression, {**INPUTS, "k": INPUTS["k"] + (one > 5)}))  # a traced integer array
        return one

    fg.grad(scalar)(1.0)
    expected = evaluate(expression, dict(INPUTS))
    got = seen[0].value if isinstance(seen[0], Tracer) else seen[0]
    assert np.asarray(got).dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(got, expected)


def test_every_function_of_the_table_has_an_example() -> None:
    text = "\n".join(LINES)
    names = {("linalg." if "linalg" in f.__module__ else "") + f.__name__ for f in FUNCTIONS}
    assert not [name for name in sorted(names) if f"np.{name}(" not in text]


def test_exports_are_the_functions_that_can_be_traced() -> None:
    tables = {id(f) for table in (FUNCTIONS, ufuncs.ROW_OF, ufuncs.COMPOSITES) for f in table}
    expected = {name for name in dir(np) if not name.startswith("_") and id(getattr(np, name)) in tables}
    exported = {name for name in dir(fg.numpy) if id(getattr(fg.numpy, name)) in tables}
    assert exported == expected


UFUNCS = sorted({f for f in [*ufuncs.ROW_OF, *ufuncs.COMPOSITES] if f.nin <= 2}, key=lambda f: f.__name__)


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.bool_])
def test_ufunc_equals_numpy(ufunc: Any, dtype: Any) -> None:
    if ufunc.signature is not None:
        pytest.skip("has a signature of its own: tested as a product")
    base = np.array([0.25, 0.5, 0.75]) if dtype != np.int64 else np.array([1, 2, 3])
    arguments = [base.astype(dtype), base[::-1].astype(dtype)][: ufunc.nin]
    try:
        with np.errstate(all="ignore"):
            expected: Any = ufunc(*arguments)
    except TypeError:
        expected = None
    seen: list[Any] = []

    def traced(one: Any) -> Any:
        like = (np.zeros(3) * one).astype(dtype)
        xs = [np.where(like == 0, a, a) for a in arguments]
        with np.errstate(all="ignore"):
            seen.append(ufunc(*xs))
        return one

    if expected is None or np.asarray(expected[0] if ufunc.nout > 1 else expected).dtype == np.float16:
        with pytest.raises(fg.errors.DtypeError):
            fg.grad(traced)(1.0)
        return
    fg.grad(traced)(1.0)
    for got, wanted in zip(*[(r if ufunc.nout > 1 else (r,)) for r in (seen[0], expected)], strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got.value, wanted, rtol=1e-6 if wanted.dtype == np.float32 else 1e-13)
