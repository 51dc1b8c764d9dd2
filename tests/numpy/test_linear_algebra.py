"""Matrix functions give what loops over elements give: values and derivatives, interpreted, compiled and mapped."""

import itertools
import math

import numpy as np
import pytest
import scipy.linalg

import fungrad as fg
from fungrad import lax
from fungrad.errors import (
    ArgumentError,
    NoConvergenceError,
    NotPositiveDefiniteError,
    ShapeError,
    SingularMatrixError,
    UnsupportedError,
)
from tests.support.compositions import check_same

RNG = np.random.default_rng(3)
A = RNG.normal(size=(3, 3)) + 2 * np.eye(3)
SPD = A @ A.T
B = RNG.normal(size=(3, 2))
STACK = RNG.normal(size=(2, 3, 3)) + 2 * np.eye(3)
SINGULAR = np.arange(1.0, 10.0).reshape(3, 3)


# -- the textbook ------------------------------------------------------------------------------------------------------


def table(rows):
    return np.stack([np.stack(row) for row in rows])


def textbook_cholesky(a):
    n = a.shape[0]
    lower = [[0.0 * a[0, 0]] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            rest = a[i, j] - sum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = np.sqrt(rest) if i == j else rest / lower[j][j]
    return table(lower)


def textbook_solve(a, b):
    """Gauss's elimination, without a choice of pivots."""
    rows = [[*list(a[i]), *list(b[i])] for i in range(a.shape[0])]
    n = len(rows)
    for i in range(n):
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for j in range(n):
            if j != i:
                factor = rows[j][i]
                rows[j] = [x - factor * y for x, y in zip(rows[j], rows[i], strict=True)]
    return table([row[n:] for row in rows])


def textbook_det(a):
    """Leibniz's sum over all permutations."""
    n = a.shape[0]
    total = 0.0
    for order in itertools.permutations(range(n)):
        inversions = sum(order[i] > order[j] for i in range(n) for j in range(i + 1, n))
        total = total + (-1.0) ** inversions * math.prod(a[i, j] for i, j in enumerate(order))
    return total


def triangle(a, lower=True, unit=False):
    t = np.tril(a, -int(unit)) if lower else np.triu(a, int(unit))
    return t + np.eye(3) if unit else t


def power_series(a):
    """exp(a)."""
    total = term = np.eye(a.shape[0])
    for k in range(1, 40):
        term = term @ a / k
        total = total + term
    return total


def of_eigenvalues(f, a):
    w, v = np.linalg.eigh(a)
    return (v * f(w)) @ v.T


def cubed_by_svd(a):
    u, s, vt = np.linalg.svd(a, full_matrices=False)
    return (u * s[..., None, :] ** 3) @ vt


def projected_by_qr(a):
    q, r = np.linalg.qr(a)
    return q @ q.T, r.T @ r


def largest_of_two(a):
    """The larger eigenvalue of a symmetric matrix of two rows."""
    middle, determinant = (a[0, 0] + a[1, 1]) / 2, a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]
    return middle + np.sqrt(middle**2 - determinant)


def normal_equations(a, b):
    return textbook_solve(a.T @ a, a.T @ b)


def each(f):
    """`f` of each of a stack, by a loop."""
    return lambda *stacks: np.stack([f(*xs) for xs in zip(*stacks, strict=True)])


CASES = {
    "cholesky": (np.linalg.cholesky, textbook_cholesky, (SPD,)),
    "cholesky, upper": (
        lambda a: np.linalg.cholesky(a, upper=True),
        lambda a: textbook_cholesky(a.T).T,
        (SPD + np.tril(A, -1) / 9,),  # whose lower triangle is not read
    ),
    "solve": (np.linalg.solve, textbook_solve, (A, B)),
    "solve, one vector": (np.linalg.solve, lambda a, b: textbook_solve(a, b[:, None])[:, 0], (A, B[:, 0])),
    "solve, one matrix": (np.linalg.solve, lambda a, b: each(lambda b: textbook_solve(a, b))(b), (A, STACK)),
    "solve, one right-hand side": (np.linalg.solve, lambda a, b: each(lambda a: textbook_solve(a, b))(a), (STACK, B)),
    "inv": (np.linalg.inv, lambda a: textbook_solve(a, np.eye(3)), (A,)),
    "inv, a stack": (np.linalg.inv, each(lambda a: textbook_solve(a, np.eye(3))), (STACK,)),
    "negative power": (
        lambda a: np.linalg.matrix_power(a, -2),
        lambda a: textbook_solve(a @ a, np.eye(3)),
        (A,),
    ),
    "det": (np.linalg.det, textbook_det, (A,)),
    "det, a stack": (np.linalg.det, each(textbook_det), (STACK,)),
    "slogdet": (
        lambda a: tuple(np.linalg.slogdet(a)),
        lambda a: (np.sign(textbook_det(a)), np.log(np.abs(textbook_det(a)))),
        (A[::-1],),
    ),
    "triangular, lower": (
        lambda a, b: lax.linalg.solve_triangular(a, b, lower=True),
        lambda a, b: textbook_solve(triangle(a), b),
        (A, B),
    ),
    "triangular, transposed with unit diagonal": (
        lambda a, b: lax.linalg.solve_triangular(a, b, 1, unit_diagonal=True),
        lambda a, b: textbook_solve(triangle(a, lower=False, unit=True).T, b),
        (A, B),
    ),
    "triangular, on the right": (
        lambda a, b: lax.linalg.triangular_solve(a, b.T),
        lambda a, b: textbook_solve(triangle(a, lower=False).T, b).T,
        (A, B),
    ),
    "eigh": (
        lambda a: of_eigenvalues(np.exp, (a + a.T) / 4),
        lambda a: power_series((a + a.T) / 4),
        (A,),
    ),
    "eigh, upper": (
        lambda a: np.linalg.eigh(a, "U").eigenvalues[2] + np.linalg.eigvalsh(a, "u")[0],
        lambda a: np.linalg.eigvalsh(a.T)[2] + np.linalg.eigvalsh(a.T)[0],
        (SPD + np.tril(A, -1) / 9,),
    ),
    "svd, tall": (cubed_by_svd, lambda a: a @ a.T @ a, (B,)),
    "svd, wide stack": (cubed_by_svd, each(lambda a: a @ a.T @ a), (STACK[:, :2],)),
    "svdvals": (
        lambda a: np.sum(np.linalg.svdvals(a) ** 4),
        lambda a: np.sum((a @ a.T) ** 2),
        (B,),
    ),
    "qr, tall": (projected_by_qr, lambda a: (a @ normal_equations(a, np.eye(3)), a.T @ a), (B,)),
    "qr, wide": (
        lambda a: np.linalg.qr(a)[0] @ np.linalg.qr(a, "r"),
        lambda a: 1.0 * a,
        (B.T,),
    ),
    "pinv, tall": (np.linalg.pinv, lambda a: normal_equations(a, np.eye(3)), (B,)),
    "pinv, wide": (np.linalg.pinv, lambda a: normal_equations(a.T, np.eye(3)).T, (B.T,)),
    "lstsq": (lambda a, b: np.linalg.lstsq(a, b)[0], normal_equations, (B, A)),
    "lstsq, one vector": (
        lambda a, b: np.linalg.lstsq(a, b)[:2],
        lambda a, b: (
            normal_equations(a, b[:, None])[:, 0],
            np.sum((b[:, None] - a @ normal_equations(a, b[:, None])) ** 2, axis=0),
        ),
        (B, A[0]),
    ),
    "norms of singular values": (
        lambda a: np.linalg.norm(a, 2) * np.linalg.norm(a, -2) * np.linalg.cond(a) / np.linalg.norm(a, "nuc"),
        lambda a: (
            largest_of_two(a.T @ a)
            / (np.sqrt(largest_of_two(a.T @ a)) + np.sqrt(textbook_det(a.T @ a) / largest_of_two(a.T @ a)))
        ),
        (B,),
    ),
    "cho_solve": (
        lambda a, b: lax.linalg.cho_solve((np.linalg.cholesky(a + a.T), True), b),
        lambda a, b: textbook_solve(a + a.T, b),
        (SPD, B),
    ),
}


SECOND = ("cholesky", "solve", "det", "eigh", "svd, tall", "qr, tall", "pinv, wide")  # derivatives too


@pytest.mark.parametrize("name", CASES)
def test_functions_of_matrices(name):
    f, textbook, args = CASES[name]
    check_same(f, textbook, args, order=2 if name in SECOND else 1)


# -- determinants of singular matrices ---------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [SINGULAR, np.ones((3, 3)), np.zeros((3, 3)), np.diag([1.0, 0.0, 2.0])])
def test_gradient_of_the_determinant_of_a_singular_matrix(a):
    check_same(np.linalg.det, textbook_det, (a,), order=1)


def test_second_derivative_of_the_determinant_of_a_singular_matrix_is_refused():
    with pytest.raises(SingularMatrixError, match=r"inverse: the matrix \(3, 3\) is singular"):
        fg.hessian(np.linalg.det)(np.zeros((3, 3)))


def test_determinants_of_extreme_matrices():
    assert fg.grad(np.linalg.det)(np.full((1, 1), 5.0)) == 1.0
    assert fg.grad(lambda a: np.linalg.det(a) + 0.0)(np.zeros((0, 0))).shape == (0, 0)
    with np.errstate(invalid="ignore"):  # NumPy warns of nan
        assert np.isnan(fg.grad(np.linalg.det)(np.full((2, 2), np.nan))).all()
    sign, logdet = fg.jit(np.linalg.slogdet)(SINGULAR - SINGULAR)
    assert sign == 0
    assert logdet == -np.inf
    sign, logdet = fg.jit(lambda a: np.linalg.slogdet(a))(1e-3 * np.eye(200))  # whose determinant is 0 to rounding
    assert (sign, round(float(logdet), 6)) == (1, round(200 * math.log(1e-3), 6))


# -- equal eigenvalues and singular values -----------------------------------------------------------------------------


def test_equal_eigenvalues_have_a_derivative_and_their_vectors_have_none():
    """Of a sum, which does not depend on the order; no warnings."""
    for f, expected in ((lambda a: np.sum(np.linalg.eigvalsh(a) ** 2), 2 * np.eye(3)), (np.linalg.norm, None)):
        for g in (fg.grad(f), fg.jit(fg.grad(f))):
            np.testing.assert_allclose(g(np.eye(3)), np.eye(3) / math.sqrt(3) if expected is None else expected)
    np.testing.assert_allclose(fg.grad(lambda a: np.linalg.norm(a, "nuc"))(2 * np.eye(3)), np.eye(3), atol=1e-15)
    tangent = fg.jvp(np.linalg.eigvalsh, (np.eye(3),), (np.diag([1.0, 2.0, 3.0]),))[1]
    np.testing.assert_allclose(tangent, [1.0, 2.0, 3.0])
    for f in (lambda a: np.sum(np.linalg.eigh(a)[1]), lambda a: np.sum(np.linalg.svd(a)[0])):
        assert np.isnan(fg.grad(f)(np.eye(2))).any()


def test_a_system_with_equal_singular_values_has_a_derivative():
    b = np.array([1.0, 2.0, 3.0])
    gradient = fg.grad(lambda a: np.sum(np.linalg.lstsq(a, b)[0]))(np.eye(3)[:, :2])
    np.testing.assert_allclose(gradient, [[-1.0, -2.0], [-1.0, -2.0], [3.0, 3.0]], atol=1e-12)


def test_rank_of_traced_matrices():
    for f in (np.linalg.matrix_rank, lambda a: np.linalg.matrix_rank(a, 0.5), lambda a: np.linalg.lstsq(a, B)[2]):
        for a in (SINGULAR, A, 0.0 * A):
            assert fg.jit(f)(a) == f(a)
    np.testing.assert_array_equal(fg.jit(np.linalg.matrix_rank)(STACK), np.linalg.matrix_rank(STACK))
    assert fg.jit(np.linalg.matrix_rank)(np.zeros(3)) == 0


# -- triangular systems ------------------------------------------------------------------------------------------------

FLAGS = list(itertools.product([False, True], repeat=3))


@pytest.mark.parametrize(("lower", "transposed", "unit"), FLAGS)
def test_solve_triangular_is_scipys(lower, transposed, unit):
    for b in (B, B[:, 0]):
        expected = scipy.linalg.solve_triangular(A, b, trans=int(transposed), lower=lower, unit_diagonal=unit)
        for trans in (int(transposed), "T" if transposed else "N"):
            found = lax.linalg.solve_triangular(A, b, trans, lower, unit)
            np.testing.assert_allclose(found, expected, rtol=1e-13)
            assert found.flags.writeable
            assert found.shape == b.shape


@pytest.mark.parametrize(("lower", "transposed", "left"), FLAGS)
def test_triangular_solve_solves(lower, transposed, left):
    t = triangle(A, lower)
    t = t.T if transposed else t
    b = B if left else B.T
    x = lax.linalg.triangular_solve(A, b, left_side=left, lower=lower, transpose_a=transposed)
    np.testing.assert_allclose(t @ x if left else x @ t, b, rtol=1e-12)
    v = lax.linalg.triangular_solve(A, B[:, 0], left_side=left, lower=lower, transpose_a=transposed)
    np.testing.assert_allclose(t @ v if left else v @ t, B[:, 0], rtol=1e-12)


def test_cho_solve_from_either_factor():
    lower = np.linalg.cholesky(SPD)
    for factor, flag in ((lower, True), (lower.T, False)):
        np.testing.assert_allclose(lax.linalg.cho_solve((factor, flag), B), np.linalg.solve(SPD, B), rtol=1e-12)


# -- what is read and what comes out -----------------------------------------------------------------------------------


def test_cholesky_and_its_derivative_read_the_lower_triangle_only():
    spoiled = SPD + np.triu(np.full((3, 3), np.nan), 1)
    np.testing.assert_array_equal(fg.jit(np.linalg.cholesky)(spoiled), np.linalg.cholesky(SPD))
    gradient = fg.grad(lambda a: np.sum(np.linalg.cholesky(a)))(SPD)
    assert not np.triu(gradient, 1).any()
    assert gradient[np.tril_indices(3)].all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_dtypes_are_numpys(dtype):
    a, b = (10 * SPD).astype(dtype), (10 * B).astype(dtype)
    for f in (
        np.linalg.cholesky,
        np.linalg.inv,
        np.linalg.det,
        lambda a: np.linalg.solve(a, b),
        lambda a: tuple(np.linalg.slogdet(a)),
    ):
        for found, expected in zip(fg.tree.leaves(fg.jit(f)(a)), fg.tree.leaves(f(a)), strict=True):
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == np.float32 else 1e-13, atol=1e-15)


def test_per_example_gradients_share_a_factorization():
    """With one matrix for all examples there is one system with more columns."""
    graph = fg.make_graph(fg.vmap(fg.grad(lambda b: np.sum(np.linalg.solve(A, b) ** 2))))(STACK)
    solves = [eqn for eqn in graph.equations if eqn.op.name == "solve"]
    assert solves
    assert all(eqn.inputs[0].type.shape == (3, 3) for eqn in solves)


# -- mistakes ----------------------------------------------------------------------------------------------------------

INDEFINITE = np.diag([1.0, -1.0, 2.0])


def gradient_of(f):
    return fg.grad(lambda *xs: np.sum(f(*xs)))


@pytest.mark.parametrize(
    "transform", [gradient_of, fg.jit, lambda f: fg.jit(gradient_of(f)), lambda f: gradient_of(fg.jit(f)), fg.vmap]
)
def test_matrices_without_an_answer(transform):
    """The error names the primitive, the matrix and the line, also from compiled code."""
    stack = (lambda a: np.stack([np.eye(3), a])) if transform is fg.vmap else lambda a: a
    which = r"matrix \[1\] of a stack of shape \(2,\)" if transform is fg.vmap else r"the matrix \(3, 3\)"

    def check(f, a, error, problem, name):
        with pytest.raises(error, match=rf"^{name}: {which}.*{problem}, at .*test_linear_algebra.py:\d+: .*{name}"):
            transform(f)(stack(a))
        with pytest.raises(np.linalg.LinAlgError):
            transform(f)(stack(a))

    check(lambda a: np.linalg.cholesky(a), INDEFINITE, NotPositiveDefiniteError, "is not positive definite", "cholesky")
    check(lambda a: np.linalg.solve(a, np.eye(3)), np.zeros((3, 3)), SingularMatrixError, "is singular", "solve")
    check(
        lambda a: lax.linalg.triangular_solve(a, np.eye(3)),
        np.diag([1.0, 0.0, 2.0]),
        SingularMatrixError,
        "is singular, with a zero on its diagonal",
        "triangular_solve",
    )
    for f, problem, name in (
        (lambda a: np.linalg.eigvalsh(a), "has eigenvalues that were not found", "eigh"),
        (lambda a: np.linalg.svdvals(a), "has singular values that were not found", "svd"),
        (lambda a: np.linalg.pinv(a), "has singular values that were not found", "pseudoinverse"),
    ):
        with pytest.raises(NoConvergenceError, match=rf"^{name}: {which} {problem}, at .*test_linear_algebra.py:\d+: "):
            transform(f)(stack(np.full((3, 3), np.nan)))


def test_an_example_that_does_not_take_a_branch_is_not_factorized():
    """Under vmap too: both branches are computed, each on matrices that take it."""

    def f(a):
        return lax.cond(a[1, 1] > 0, lambda: np.sum(np.log(np.diagonal(np.linalg.cholesky(a)))), lambda: 0.0)

    values = fg.jit(fg.vmap(f))(np.stack([SPD, INDEFINITE]))
    np.testing.assert_allclose(values, [0.5 * np.linalg.slogdet(SPD)[1], 0.0], rtol=1e-12)
    gradients = fg.vmap(fg.grad(f))(np.stack([SPD, INDEFINITE]))
    assert np.isfinite(gradients).all()
    assert not gradients[1].any()


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda x: np.linalg.inv(x), ShapeError, r"np.linalg.inv needs square matrices .*, got shape \(3, 2\), at "),
        (lambda x: np.linalg.det(x[0]), ShapeError, r"np.linalg.det needs square matrices .*, got shape \(2,\)"),
        (lambda x: np.linalg.eigh(x), ShapeError, r"np.linalg.eigh needs square matrices .*, got shape \(3, 2\)"),
        (lambda x: np.linalg.eigvalsh(x[:2], "l2"), ArgumentError, "UPLO must be 'L' or 'U', got 'l2'"),
        (
            lambda x: np.linalg.svd(x),
            UnsupportedError,
            r"full_matrices=True adds .* \(3, 2\), at .*full_matrices=False",
        ),
        (lambda x: np.linalg.svd(x, hermitian=True), UnsupportedError, "np.svd: the option hermitian=True"),
        (lambda x: np.linalg.svdvals(x[0]), ShapeError, "needs matrices along the last two axes"),
        (
            lambda x: np.linalg.qr(x, "complete"),
            UnsupportedError,
            r"mode='complete' cannot be traced for shape \(3, 2\)",
        ),
        (lambda x: np.linalg.pinv(x, x[0, 0]), ArgumentError, "np.linalg.pinv: the cutoff must be one number"),
        (lambda x: np.linalg.lstsq(x, x[:2]), ShapeError, r"lstsq: shapes \(3, 2\) and \(2, 2\) do not fit"),
        (lambda x: np.linalg.cond(x, 1), ShapeError, "np.linalg.cond needs square matrices"),
        (lambda x: np.linalg.norm(x, 3), ArgumentError, "ord must be 'fro', 'nuc', .* got 3"),
        (lambda x: np.linalg.eig(x @ x.T), UnsupportedError, "np.linalg.eig cannot be traced"),
        (lambda x: np.linalg.solve(A, x[:2]), ShapeError, r"\(3, 3\) and \(2, 2\) do not fit: .* 3 elements"),
        (lambda x: np.linalg.solve(A, x[0]), ShapeError, "vector of 3 elements or matrices of 3 rows"),
        (lambda x: np.linalg.solve(A, x[0, 0]), ShapeError, "do not fit"),
        (lambda x: np.linalg.solve(STACK, x * np.ones((4, 1, 1))), ShapeError, r"linalg.solve: .* do not broadcast"),
        (lambda x: lax.linalg.solve_triangular(A, x, trans=2), ArgumentError, "trans must be 0, 1, 'N' or 'T', got 2"),
        (lambda x: lax.linalg.solve_triangular(x, x), ShapeError, "solve_triangular needs square matrices"),
        (lambda x: lax.linalg.triangular_solve(A, x), ShapeError, "triangular_solve: shapes .* do not fit"),
        (lambda x: lax.linalg.cho_solve(A, x), ArgumentError, r"a pair \(factor, lower\), got a ndarray"),
    ],
)
def test_mistakes(call, error, said):
    for transform in (gradient_of, fg.jit):
        with pytest.raises(error, match=said):
            transform(call)(B)
