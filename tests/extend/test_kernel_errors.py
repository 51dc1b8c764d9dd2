"""What kernels and their rules can do wrong, and what is said."""

import numba
import numpy as np
import pytest

import fungrad as fg
from fungrad.errors import ArgumentError, KernelError, NotDifferentiableError, ShapeError
from fungrad.extend import njit_primitive
from tests.extend.kernels import _picky, _softplus, decay, picky, softplus

X = np.array([0.3, -0.7, 1.1])


def copy_with(**rules):
    """A primitive of the kernel that copies its operand, with these rules."""
    return njit_primitive(_picky, out=lambda x: x, **rules)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("transform", [lambda f: f, fg.jit], ids=["eager", "jit"])
def test_an_error_in_a_kernel_is_the_callers(transform, mapped):
    f = transform(fg.vmap(lambda x: 2 * picky(x + 0.0)) if mapped else lambda x: 2 * picky(x + 0.0))
    x, bad = (np.stack([X, X]), np.stack([X, -X])) if mapped else (X, -X)
    np.testing.assert_array_equal(f(x), 2 * x)
    with pytest.raises(ValueError, match="a negative start"):
        f(bad)
    np.testing.assert_array_equal(f(x), 2 * x)


def test_no_rule():
    for transform in (fg.grad, lambda f: fg.jit(fg.grad(f)), lambda f: lambda x: fg.jvp(f, (x,), (x,))):
        with pytest.raises(
            NotDifferentiableError, match=r"the kernel _picky has no derivative rule, at .*np.sum\(picky"
        ):
            transform(lambda x: np.sum(picky(x)))(X)
    plain = njit_primitive(_softplus)
    with pytest.raises(NotDifferentiableError, match="the kernel _softplus has no derivative rule"):
        fg.grad(plain)(1.0, 2.0)


def test_one_rule_serves_both_modes():
    tripled = {
        "jvp": copy_with(jvp=lambda t, out, x: 3 * t),
        "vjp": copy_with(vjp=lambda ct, out, x: 3 * ct),
        "vjp of all": copy_with(vjp=lambda ct, out, x: (3 * ct,)),
        "zero": copy_with(jvp=(None,)),
        "no cotangent": copy_with(vjp=lambda ct, out, x: (None,)),
    }
    for name, f in tripled.items():
        factor = 0.0 if name in ("zero", "no cotangent") else 3.0
        for wrapped in (f, fg.jit(f)):
            np.testing.assert_array_equal(fg.grad(lambda x, g=wrapped: np.sum(X * g(x)))(X), factor * X)
            np.testing.assert_array_equal(fg.jvp(wrapped, (X,), (X * X,))[1], factor * (X * X))
        rows = np.stack([X, 2 * X])
        np.testing.assert_array_equal(fg.vmap(fg.grad(lambda x, g=f: np.sum(X * g(x))))(rows), [factor * X] * 2)


def test_rules_that_cannot_be_transposed():
    clipped = copy_with(vjp=lambda ct, out, x: np.clip(ct, -1, 1))
    np.testing.assert_array_equal(fg.grad(lambda x: np.sum(5 * clipped(x)))(X), np.ones(3))
    with pytest.raises(NotDifferentiableError, match=r"forward mode met the kernel _picky.*not linear"):
        fg.jvp(clipped, (X,), (X,))
    itself = copy_with(jvp=lambda t, out, x: itself(t))
    with pytest.raises(NotDifferentiableError, match=r"applies the kernel to the tangent.*Give njit_primitive a vjp"):
        fg.grad(lambda x: np.sum(itself(x)))(X)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"jvp": lambda t, out, x: t[:2]}, r"jvp rule for operand 0 .* must return f64\[3\], but returned f64\[2\]"),
        ({"jvp": lambda t, out, x: "t"}, r"jvp rule for operand 0 .* must return f64\[3\]"),
        ({"jvp": lambda t, out, x: (t, t)}, r"jvp rule for operand 0 .* must return"),
        ({"vjp": lambda ct, out, x: ct.sum()}, r"vjp rule for operand 0 .* must return f64\[3\], but returned f64\[\]"),
        ({"vjp": lambda ct, out, x: (ct, ct)}, r"must return a tuple with a cotangent for each of its 1 operands"),
    ],
)
def test_rules_of_another_shape(rules, message):
    f = copy_with(**rules)
    for transform in (lambda f: f, fg.jit):
        with pytest.raises(KernelError, match=message):
            transform(fg.grad(lambda x: np.sum(f(x))))(X)


def test_rules_are_counted():
    f = copy_with(jvp=(None, None))
    with pytest.raises(KernelError, match=r"called with 1 operand\(s\), but has 2 rule\(s\) in jvp"):
        f(X)


def test_kernels_that_do_not_fit():
    @numba.njit
    def writes(x, result):
        x[0] = 1.0

    @numba.njit
    def unknown(x, result):
        result[0] = x.colour

    @numba.njit
    def pair(x):
        return x, x

    with pytest.raises(KernelError, match="the kernel writes writes to one of its operands"):
        njit_primitive(writes, out=lambda x: x)(X)
    with pytest.raises(KernelError, match=r"cannot compile the kernel unknown for \(float64 array of rank 1, .*colour"):
        fg.jit(njit_primitive(unknown, out=lambda x: x))(X)
    with pytest.raises(KernelError, match=r"the kernel pair returns .*without `out` it has to return one number"):
        njit_primitive(pair)(1.0)


def test_operands_that_do_not_fit():
    with pytest.raises(KernelError, match=r"_picky was called with 2 operand\(s\), which its `out` does not take"):
        picky(X, X)
    with pytest.raises(KernelError, match=r"_picky has 2 parameter\(s\), but was called with 2 operand\(s\)"):
        njit_primitive(_picky, out=lambda *types: types[0])(X, X)
    with pytest.raises(KernelError, match=r"the kernel _softplus takes 2 number\(s\), got 1"):
        softplus(X)
    with pytest.raises(ShapeError, match=r"_softplus: operands of shapes \(3,\) and \(2,\) do not broadcast"):
        softplus(X, np.ones(2))
    with pytest.raises(fg.errors.TreeError, match=r"argument 0 of _decay is a builtins\.str"):
        decay("x", 1.0)


def test_what_is_given_to_njit_primitive():
    with pytest.raises(ArgumentError, match=r"takes a function decorated with @numba.njit, got <lambda>"):
        njit_primitive(lambda x: x)
    with pytest.raises(ArgumentError, match="takes a function, got float"):
        njit_primitive(3.0)
    with pytest.raises(ArgumentError, match="A kernel of arrays needs out"):
        njit_primitive(_picky, vjp=lambda ct, out, x: ct)
    with pytest.raises(ArgumentError, match="takes a function"):
        njit_primitive(_picky, out=3)
    with pytest.raises(KernelError, match="out of the kernel _picky must give a type"):
        njit_primitive(_picky, out=lambda x: 3)(X)
