"""Which loops share rows, what is stored, and that sharing changes no result."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings

import fungrad as fg
from fungrad.jit import lower_nest, lower_reduce
from fungrad.jit.loops import Guard, Loop, Note
from tests.jit.test_random_programs import check_each_equation, check_fused
from tests.support.jax_oracle import jax  # noqa: F401
from tests.support.programs import programs

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(6, 10))


def program_of(f, *args):
    return fg.jit(f)._compiled(args, {}).program


def outermost(program):
    return [s for s in program.body if isinstance(s, Loop)]


def cross_entropy(z):
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[:, 0])


def test_cross_entropy_with_its_gradient_is_one_pass_over_the_rows():
    program = program_of(fg.value_and_grad(cross_entropy), Z)
    assert len(outermost(program)) == 1
    assert sum(b.type.size for b in program.temps) <= 10 + 1, "more than a row and a number is kept"
    assert fg.jit(fg.value_and_grad(cross_entropy)).source(Z).count("np.exp(") == 1


def test_a_value_and_its_gradient_take_one_pass():
    f = fg.value_and_grad(lambda x: np.sum(np.tanh(np.sin(x) * np.exp(-x * x))))
    program = program_of(f, np.ones(300))
    (loop,) = outermost(program)
    assert not [b for b in program.temps if b.type.ndim]
    source = fg.jit(f).source(np.ones(300))
    assert [source.count(f"np.{name}(") for name in ("sin", "exp", "tanh", "cos")] == [1, 1, 1, 1]
    assert loop.index.name == "i0__block"


def test_sums_over_rows_join_what_they_sum():
    program = program_of(lambda x: (np.exp(x), np.sum(np.exp(x), axis=0)), Z)
    _, rows = outermost(program)  # zeros, then the pass
    assert not program.temps
    assert len(rows.body) == 1


def test_loops_that_compute_something_else_stay_apart():
    program = program_of(lambda v, m: (v * 2, m * 2), np.ones(6), Z)
    assert len(outermost(program)) == 2
    notes = [s for s in program.body if isinstance(s, Note)]
    assert notes[1].reason == "the loops before compute something else"


def test_what_needs_a_complete_sum_begins_new_loops():
    program = program_of(lambda x: np.exp(x) / np.sum(np.exp(x)), np.ones(6))
    reasons = [s.reason for s in program.body if isinstance(s, Note)]
    assert reasons == ["no loop over 6 before", "an operand is complete only after the loops before"]


def test_reading_in_another_order_waits_for_the_whole_array():
    def f(x):
        y = np.exp(x)
        return y, y[::-1], y[:, ::-1], y.T @ y, np.sum(y, axis=1)[::-1]

    for found, expected in zip(fg.jit(f)(Z), f(Z), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_long_bodies_are_cut():
    def f(x):
        y = [np.sin(x * i) for i in range(60)]
        return [np.cos(a) * a for a in y]

    program = program_of(f, np.ones(7))
    assert len(outermost(program)) > 1
    assert "the loops before are long enough" in [s.reason for s in program.body if isinstance(s, Note)]


@settings(max_examples=25, phases=[Phase.explicit, Phase.generate])
@given(programs())
def test_random_programs_with_short_blocks(drawn):
    with pytest.MonkeyPatch.context() as patch:
        for module in (lower_nest, lower_reduce):
            patch.setattr(module, "BLOCK", 2)
        check_each_equation(*drawn)
        check_fused(*drawn)


@pytest.mark.parametrize("axes", [0, 1, 2, (0, 1), (1, 2), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("shape", [(3, 300, 7), (300, 5, 263), (2, 257, 512)])
def test_blocked_sums_over_any_axes(shape, axes):
    x = RNG.uniform(0, 1, shape).astype(np.float32)
    found = fg.jit(lambda x: (np.sum(x * x, axis=axes), np.max(x, axis=axes), np.sum(x, axis=axes)))(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(found[0], np.sum(wide * wide, axis=axes), rtol=3e-6)
    np.testing.assert_array_equal(found[1], np.max(x, axis=axes))
    np.testing.assert_allclose(found[2], np.sum(wide, axis=axes), rtol=3e-6)


@pytest.mark.parametrize("shape", [(4, 1000), (300, 5), (1, 7), (5, 1), (2, 3, 300)])
def test_a_normalized_layer_and_its_gradient(shape, jax):  # noqa: F811
    def loss(xp):
        def f(x, g):
            c = x - xp.mean(x, axis=-1, keepdims=True)
            y = c / xp.sqrt(xp.mean(c * c, axis=-1, keepdims=True) + 0.1) * g
            return xp.sum(y**3) + xp.sum(xp.max(y, axis=0))

        return f

    x, g = RNG.normal(size=shape), RNG.normal(size=shape[-1])
    expected = jax.value_and_grad(loss(jax.numpy), argnums=(0, 1))(x, g)
    found = fg.jit(fg.value_and_grad(loss(np), argnums=(0, 1)))(x, g)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


def test_results_that_are_read_again_in_the_same_loops():

    def f(x):
        e = np.exp(x)
        s = np.sum(e, axis=1, keepdims=True)
        return e, s, e / s, np.sum(e / s, axis=0)

    for found, expected in zip(fg.jit(f)(Z), f(Z), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_padding_cuts_a_loop_where_it_begins_and_ends():
    def f(x):
        return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    x = RNG.normal(size=500)
    program = program_of(fg.grad(f), x)
    assert not program.temps
    assert len(outermost(program)) == 3
    assert " if " not in fg.jit(fg.grad(f)).source(x)
    np.testing.assert_allclose(fg.jit(fg.grad(f))(x), fg.grad(f)(x), rtol=1e-13)


@pytest.mark.parametrize("shape", [(7,), (1,), (2, 300), (300, 2), (3, 1, 4)])
def test_padding_in_any_place(shape):
    def f(x):
        widths = [(1, 2)] * x.ndim
        p = np.pad(np.sin(x), widths, constant_values=0.5)
        q = np.pad(x, [(2, 1)] * x.ndim)
        return p, p * q, p[::-1] + q, p.T @ q if x.ndim == 2 else p, np.sum(p * q, axis=0), np.sum(p), np.exp(p.T)

    x = RNG.normal(size=shape)
    for found, expected in zip(fg.jit(f)(x), f(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_nothing_of_a_padded_array():
    assert fg.jit(lambda x: np.pad(x, (2, 3))[5:5] * 2)(np.ones(4)).shape == (0,)


def test_a_matrix_times_a_vector_shares_its_pass():
    def f(w, x, y):
        return np.sum((x @ w - y) ** 2)

    x, w, y = RNG.normal(size=(300, 5)), RNG.normal(size=5), RNG.normal(size=300)
    program = program_of(fg.grad(f), w, x, y)
    assert max(b.type.size for b in program.temps) <= 5, "the residuals are kept"
    np.testing.assert_allclose(fg.jit(fg.grad(f))(w, x, y), 2 * x.T @ (x @ w - y), rtol=1e-11)


def test_what_a_loop_does_not_change_is_loaded_before_it():
    lines = fg.jit(lambda x, s: np.exp(x * s)).source(np.ones(6), 2.0).splitlines()
    assert lines[-4:-2] == ["    s__at0 = s[()]", "    for i0 in range(6):"]


def test_loops_of_long_functions_are_cut():
    """LLVM takes more than linear time in the length of a loop, and a sine is long."""

    def many(x):
        y = x
        for _ in range(30):
            y = np.sin(y) + x
        return y

    loops = fg.jit(many).source(np.ones(50)).split("for i0 ")[1:]
    assert sum(loop.count("np.sin") for loop in loops) == 30
    assert max(loop.count("np.sin") for loop in loops) <= 4


GATHERS = {
    "rows": (lambda t, i: np.sum(np.tanh(t[i]) ** 2, axis=1), (40,)),
    "elements": (lambda t, i: np.sin(t[i, i % 8]) * 2, (40,)),
    "known rows": (lambda t, i: t[np.array([3, -1, 0])] + 1, (2,)),
    "read twice": (lambda t, i: (t[i] * 2, np.exp(t[i])), (9,)),
    "of a computed table": (lambda t, i: np.exp(t)[i] - 1, (3, 5)),
    "nothing": (lambda t, i: t[i] * 2, (0,)),
}


@pytest.mark.parametrize("name", GATHERS)
def test_gathers_are_computed_where_they_are_read(name):
    f, shape = GATHERS[name]
    t, i = RNG.normal(size=(50, 8)), RNG.integers(-50, 50, shape)
    for g in (f, lambda t, i: fg.grad(lambda t: sum(np.sum(x**2) for x in fg.tree.leaves(f(t, i))))(t)):
        for found, expected in zip(fg.tree.leaves(fg.jit(g)(t, i)), fg.tree.leaves(g(t, i)), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_a_gather_shares_the_loops_of_its_reader():
    f, shape = GATHERS["rows"]
    program = program_of(f, np.ones((50, 8)), np.zeros(shape, int))
    checks, _ = outermost(program)
    assert any(isinstance(s, Guard) for s in checks.body)
    assert not any(b.type.shape == (40, 8) for b in program.temps)
    known = program_of(GATHERS["known rows"][0], np.ones((50, 8)), np.zeros(2, int))
    assert not any(isinstance(s, Guard) for loop in outermost(known) for s in loop.body)
