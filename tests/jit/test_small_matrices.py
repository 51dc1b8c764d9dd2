"""Linear algebra of small matrices in machine code: as NumPy's, without calling it, unless NumPy knows better."""

import numba
import numpy as np
import pytest

import fungrad as fg
from fungrad.errors import NotPositiveDefiniteError, SingularMatrixError
from fungrad.jit import host_calls
from fungrad.jit.emit_llvm import emit_module
from fungrad.jit.small_matrices import LARGEST, LARGEST_COFACTORS
from fungrad.lax.linalg import triangular_solve

RNG = np.random.default_rng(0)
SIZES = [1, 2, 3, 4, 5, 8, 17, LARGEST]
TOLERANCE = {np.float32: 1e-3, np.float64: 1e-11}


def regular(shape, dtype):
    """Matrices that are far from singular, with rows in an order that asks for exchanges."""
    n = shape[-1]
    return RNG.permuted(RNG.normal(size=shape) / n + 2 * np.eye(n), axis=-2).astype(dtype)


def definite(shape, dtype):
    a = RNG.normal(size=shape) / shape[-1]
    return (a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1])).astype(dtype)


def triangular(lower, transposed, unit):
    def solve(a, b):
        return triangular_solve(a, b, left_side=True, lower=lower, transpose_a=transposed, unit_diagonal=unit)

    return solve


CASES = {
    "solve": (np.linalg.solve, regular, True),
    "inv": (np.linalg.inv, regular, False),
    "det": (np.linalg.det, regular, False),
    "slogdet": (np.linalg.slogdet, regular, False),
    "cholesky": (np.linalg.cholesky, definite, False),
    **{f"triangular {i:03b}": (triangular(bool(i & 4), bool(i & 2), bool(i & 1)), definite, True) for i in range(8)},
}


@pytest.fixture
def without_numpy(monkeypatch):
    """A call back to NumPy is an error."""

    def refuse(call):
        def run(table):
            host_calls.keep_error(AssertionError(f"{call.op.name} was left to NumPy"))
            return 1

        return host_calls._CALLBACK(run)

    monkeypatch.setattr(host_calls, "callback", refuse)
    monkeypatch.setenv("FUNGRAD_CACHE", "0")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", CASES)
def test_as_numpy(name, n, dtype, without_numpy):
    f, matrices, has_right = CASES[name]
    for stack in [(), (5,), (2, 3)]:
        arguments = [matrices((*stack, n, n), dtype)]
        arguments += [RNG.normal(size=(*stack, n, 3)).astype(dtype)] if has_right else []
        for found, expected in zip(fg.tree.leaves(fg.jit(f)(*arguments)), fg.tree.leaves(f(*arguments)), strict=True):
            assert found.dtype == expected.dtype
            scale = np.max(np.abs(expected))
            np.testing.assert_allclose(found, expected, atol=TOLERANCE[dtype] * scale, rtol=TOLERANCE[dtype])


def hilbert(n, dtype):
    return (1 / (1 + np.arange(n)[:, None] + np.arange(n))).astype(dtype)


@pytest.mark.parametrize("name", ["solve", "inv", "det", "slogdet"])
@pytest.mark.parametrize("n", [4, 6, 8])
def test_float32_is_computed_in_double(name, n, without_numpy):
    """As by NumPy: for ill-conditioned matrices the difference is all digits."""
    f, _, has_right = CASES[name]
    arguments = [hilbert(n, np.float32)] + [np.ones((n, 2), np.float32)] * has_right
    precise = f(*(x.astype(np.float64) for x in arguments))
    for found, expected in zip(fg.tree.leaves(fg.jit(f)(*arguments)), fg.tree.leaves(precise), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.max(np.abs(expected)))


def test_cholesky_refuses_what_numpy_refuses():
    compiled = fg.jit(np.linalg.cholesky)
    for _ in range(300):
        root = RNG.normal(size=(3, 2)).astype(np.float32)
        outcomes = [outcome(f, root @ root.T) for f in (np.linalg.cholesky, compiled)]
        assert isinstance(outcomes[0], str) == isinstance(outcomes[1], str)


def test_results_out_of_range_are_numpys():
    a, b = np.array([[1.0, 0, 0], [0, 1, 0], [1e200, 1e200, 1]]), np.array([[1e200], [-1e200], [1.0]])
    solve = triangular(True, False, False)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(fg.jit(solve)(a, b), solve(a, b))
    a, b = np.array([[1e30, 1e30], [0, 1e-5]], np.float32), np.array([0, 1e5], np.float32)
    np.testing.assert_allclose(fg.jit(np.linalg.solve)(a, b), [-1e10, 1e10], rtol=1e-6)


def test_wide_right_hand_sides_are_left_to_numpy(without_numpy):
    b = np.ones((2, LARGEST**2 // 2))
    np.testing.assert_array_equal(fg.jit(np.linalg.solve)(2 * np.eye(2), b), b / 2)
    with pytest.raises(AssertionError, match="left to NumPy"):
        fg.jit(np.linalg.solve)(2 * np.eye(2), np.ones((2, LARGEST**2 // 2 + 1)))


@pytest.mark.parametrize("n", range(1, LARGEST_COFACTORS + 1))
def test_gradients_of_determinants(n, without_numpy):
    a = regular((4, n, n), np.float64)
    found = fg.jit(fg.grad(lambda a: np.sum(np.linalg.det(a))))(a)
    expected = np.linalg.det(a)[:, None, None] * np.swapaxes(np.linalg.inv(a), -1, -2)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_sizes_without_code_are_left_to_numpy(without_numpy):
    n = LARGEST + 1
    with pytest.raises(AssertionError, match="solve was left to NumPy"):
        fg.jit(np.linalg.solve)(np.eye(n), np.ones(n))
    (call,) = fg.jit(np.linalg.inv).explain(np.eye(n)).host_calls
    assert call.name == "inverse"
    assert not fg.jit(np.linalg.inv).explain(np.eye(n - 1)).host_calls


ODD = {
    "zero": np.zeros((2, 2)),
    "singular": np.array([[1.0, 2.0], [2.0, 4.0]]),
    "indefinite": np.array([[0.0, 1.0], [1.0, 0.0]]),
    "nan": np.array([[np.nan, 1.0], [1.0, 1.0]]),
    "infinite": np.array([[np.inf, 1.0], [1.0, 1.0]]),
    "not finite above the diagonal": np.array([[1.0, np.nan], [0.5, 1.0]]),
    "tiny": np.full((2, 2), 1e-300) + np.eye(2) * 1e-299,
    "huge": np.full((2, 2), 1e300) + np.eye(2) * 1e301,
}
FUNCTIONS = {
    "solve": lambda a: np.linalg.solve(a, np.ones(2)),
    "triangular": lambda a: triangular_solve(a, np.ones((2, 1)), left_side=True, lower=True),
    **{name: CASES[name][0] for name in ("inv", "det", "slogdet", "cholesky")},
    "gradient of det": fg.grad(np.linalg.det),
}


def outcome(f, a):
    try:
        with np.errstate(all="ignore"):
            return np.concatenate([np.ravel(x) for x in fg.tree.leaves(f(a))])
    except np.linalg.LinAlgError as error:
        return str(error).partition(", at")[0]


@pytest.mark.parametrize("matrix", ODD)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_has_no_answer_ends_as_in_the_interpreter(name, matrix):
    f = FUNCTIONS[name]
    expected = outcome(lambda a: fg.vmap(f)(a[None]), ODD[matrix])
    found = outcome(fg.jit(lambda a: fg.vmap(f)(a[None])), ODD[matrix])
    assert type(found) is type(expected)
    if isinstance(found, str):
        assert found == expected
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_errors_name_the_matrix():
    stack = np.stack([np.eye(3), np.eye(3), np.zeros((3, 3))])
    with pytest.raises(SingularMatrixError, match=r"matrix \[2\] of a stack of shape \(3,\) is singular"):
        fg.jit(np.linalg.inv)(stack)
    with pytest.raises(NotPositiveDefiniteError, match=r"matrix \[2\]"):
        fg.jit(np.linalg.cholesky)(stack)


def test_donated_operands_are_there_when_numpy_is_asked():
    stack = np.stack([2 * np.eye(3), np.zeros((3, 3))])
    with pytest.raises(SingularMatrixError, match=r"matrix \[1\]"):
        fg.jit(np.linalg.inv, donate_argnums=0)(stack.copy())
    np.testing.assert_array_equal(fg.jit(np.linalg.inv, donate_argnums=0)(2 * np.eye(3)), np.eye(3) / 2)


def test_a_filter_stays_in_machine_code(without_numpy):
    """A Kalman filter of two states, with its gradient, in a scan and in njit code."""
    ys = RNG.normal(size=(50, 2))

    def negative_log_likelihood(a, ys):
        transition = fg.numpy.array([[1.0, 0.1], [0.0, 0.95]]) * a

        def step(state, y):
            mean, covariance = transition @ state[0], transition @ state[1] @ transition.T + 0.1 * np.eye(2)
            s, e = covariance + 0.5 * np.eye(2), y - mean
            gain = np.linalg.solve(s, covariance).T
            loss = e @ np.linalg.solve(s, e) + np.log(np.linalg.det(s))
            return (mean + gain @ e, covariance - gain @ s @ gain.T), loss

        return np.sum(fg.lax.scan(step, (np.zeros(2), np.eye(2)), ys)[1])

    f = fg.value_and_grad(negative_log_likelihood)
    value, slope = fg.jit(f)(0.98, ys)
    steps = [negative_log_likelihood(0.98 + h, ys) for h in (1e-6, -1e-6)]
    np.testing.assert_allclose(value, negative_log_likelihood(0.98, ys), rtol=1e-12)
    np.testing.assert_allclose(slope, (steps[0] - steps[1]) / 2e-6, rtol=1e-7)
    kernel = fg.jit(f).dispatcher(0.98, ys)
    np.testing.assert_allclose(numba.njit(lambda a, y: kernel(a, y))(0.98, ys), (value, slope), rtol=1e-12)


def test_equal_calls_share_their_code():
    program = fg.jit(lambda a: np.linalg.inv(a) @ np.linalg.inv(a + 1))._compiled((np.eye(3),), {}).program
    assert len(program.hosts) == 2
    assert emit_module(program)[0].count('define internal i64 @"fungrad Inverse()') == 1
