"""Results that are written over operands: donated arguments, carries of loops, sums of products."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import fungrad as fg
from fungrad import lax
from fungrad.errors import StaticArgumentError
from fungrad.ir.graph import Var
from fungrad.jit.emit_python import run_source
from fungrad.jit.loops import Gemm, Loop
from fungrad.jit.runtime import Compiled
from tests.support.programs import programs, same_bits

RNG = np.random.default_rng(0)


def loss(params, x, y):
    h = np.tanh(x @ params["A"] + params["b"])
    return np.mean((h @ params["C"] + params["d"] - y) ** 2)


def step(params, x, y, rate):
    return fg.tree.map(lambda p, g: p - rate * g, params, fg.grad(loss)(params, x, y))


def network(dtype=np.float64):
    params = {
        "A": RNG.normal(size=(20, 30)),
        "b": RNG.normal(size=30),
        "C": RNG.normal(size=(30, 7)),
        "d": RNG.normal(size=7),
    }
    params = {k: v.astype(dtype) for k, v in params.items()}
    return params, RNG.normal(size=(16, 20)).astype(dtype), RNG.normal(size=(16, 7)).astype(dtype)


def copies(params):
    return fg.tree.map(np.copy, params)


def test_a_training_step_updates_its_parameters_in_place():
    params, x, y = network()
    update = fg.jit(step, donate_argnums=0)
    expected, own = params, copies(params)
    for _ in range(4):
        expected = step(expected, x, y, 0.1)
        new = update(own, x, y, 0.1)
        for name, value in new.items():
            assert value is own[name]
            np.testing.assert_allclose(value, expected[name], rtol=1e-11)


def test_the_source_of_a_step_in_place_runs():
    params, x, y = network()
    leaves = [*fg.tree.leaves(params), x, y, 0.1]
    program = fg.jit(step, donate_argnums=0)._compiled((params, x, y, 0.1), {}).program
    assert set(program.outputs) < set(program.inputs)
    for found, expected in zip(run_source(program, leaves), fg.tree.leaves(step(params, x, y, 0.1)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_without_donation_nothing_is_overwritten():
    params, x, y = network()
    before = copies(params)
    new = fg.jit(step)(params, x, y, 0.1)
    for name, value in params.items():
        np.testing.assert_array_equal(value, before[name])
        assert not np.shares_memory(value, new[name])


def mix(a, b):
    return a * 2 + b[::-1]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param(*(lambda a: (a, a))(np.arange(5.0)), id="the same array"),
        pytest.param(*(lambda a: (a[2:7], a[:5]))(np.arange(10.0)), id="overlapping"),
        pytest.param(np.arange(10.0)[::2], np.ones(5), id="not dense"),
    ],
)
def test_what_cannot_be_overwritten_is_copied(a, b):
    kept = a.copy(), b.copy()
    found = fg.jit(mix, donate_argnums=0)(a, b)
    np.testing.assert_array_equal(found, mix(*kept))
    np.testing.assert_array_equal(a, kept[0])
    assert not np.shares_memory(found, a)


def test_read_only_arrays_are_copied():
    a = np.arange(5.0)
    a.flags.writeable = False
    found = fg.jit(mix, donate_argnums=0)(a, np.ones(5))
    np.testing.assert_array_equal(found, 2 * np.arange(5.0) + 1)
    np.testing.assert_array_equal(a, np.arange(5.0))


def test_neighbours_in_memory_do_not_overlap():
    memory = np.arange(10.0)
    a, b = memory[:5], memory[5:]
    expected = mix(a.copy(), b.copy())
    found = fg.jit(mix, donate_argnums=0)(a, b)
    assert found is a
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "f",
    [
        lambda a: a[::-1] + 1,
        lambda a: np.cumsum(a) + a[::-1],
        lambda a: (a + 1, a[::-1] * 2),
        lambda a: a - np.sum(a * a),
        lambda a: np.roll(a, 1) * a,
        lambda a: np.sort(a) - a,
        lambda a: (a * 2, np.sum(a)),
        lambda a: (np.sum(a), np.max(a), a - np.max(a)),
        lambda a: fg.lax.fori_loop(0, 3, lambda i, c: c[::-1] + a, a),
    ],
)
@pytest.mark.parametrize("n", [7, 40_000])
def test_a_result_never_reads_what_it_has_overwritten(f, n):
    a = RNG.normal(size=n)
    expected = fg.tree.leaves(fg.jit(f)(a.copy()))
    found = fg.tree.leaves(fg.jit(f, donate_argnums=0)(a))
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x, y)


@settings(max_examples=40, phases=[Phase.explicit, Phase.generate])
@given(programs(max_steps=15), st.data())
def test_random_programs_over_donated_inputs(drawn, data):
    graph, inputs = drawn
    expected = [np.array(x) for x in Compiled(graph)([np.copy(x)[()] for x in inputs])]
    donated = tuple(sorted(data.draw(st.sets(st.integers(0, len(inputs) - 1)))))
    compiled = Compiled(graph, donated)
    given = [np.copy(x)[()] for x in inputs]
    for found, e in zip(compiled(given), expected, strict=True):
        assert same_bits(np.asarray(found), e)
    if all(not isinstance(x, Var) or x not in graph.inputs for x in graph.outputs):
        given = [np.copy(x) for x in inputs]
        for found, e in zip(run_source(compiled.program, given), expected, strict=True):
            np.testing.assert_allclose(found, e, rtol=1e-3, atol=1e-5)


def test_donation_inside_other_transformations_is_ignored():
    params, x, y = network()
    before = copies(params)
    inner = fg.jit(loss, donate_argnums=0)
    found = fg.grad(inner)(params, x, y)
    for name, value in fg.grad(loss)(params, x, y).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10)
        np.testing.assert_array_equal(params[name], before[name])


def test_wrong_donations():
    with pytest.raises(StaticArgumentError, match="donate_argnums=5 names argument 5"):
        fg.jit(mix, donate_argnums=5)
    with pytest.raises(StaticArgumentError, match="donate_argnums must be an int"):
        fg.jit(mix, donate_argnums="a")
    with pytest.raises(StaticArgumentError, match="argument 1 is static and donated"):
        fg.jit(mix, static_argnums=1, donate_argnums=1)


def test_donated_keyword_arguments_are_not_confused():
    f = fg.jit(lambda a, b: a + b, donate_argnums=0)
    a, b = np.ones(3), np.ones(3)
    f(b=b, a=a)
    np.testing.assert_array_equal(b, np.ones(3))


# -- loops -------------------------------------------------------------------------------------------------------------


def gemms(statements):
    for statement in statements:
        if isinstance(statement, Gemm):
            yield statement
        elif isinstance(statement, Loop):
            yield from gemms(statement.body)


def epoch(params, xs, ys):
    return lax.scan(lambda p, batch: (step(p, *batch, 0.1), None), params, (xs, ys))[0]


def test_the_steps_of_an_epoch_update_the_carry_in_place():
    params, x, y = network()
    xs, ys = np.stack([x, x * 0.5, x + 1]), np.stack([y, y, -y])
    compiled = fg.jit(epoch)
    program = compiled._compiled((params, xs, ys), {}).program
    updates = [g for g in gemms(program.body) if g.addend is not None and g.addend.type.ndim == 2]
    assert len(updates) == 2
    assert all(g.addend is g.out for g in updates)
    assert not any("next" in b.name for b in program.temps)
    expected = params
    for i in range(3):
        expected = step(expected, xs[i], ys[i], 0.1)
    for name, value in compiled(params, xs, ys).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-11)


BODIES = {
    "elementwise": lambda c, x: (np.sin(c) + x, np.sum(c)),
    "reversed": lambda c, x: (c[::-1] + x, c),
    "product": lambda c, x: (np.tanh(c @ c) + x, None),
    "added product": lambda c, x: (c + 0.1 * (x * np.ones_like(c)) @ np.ones_like(c), None),
    "pair": lambda c, x: ((c[1], c[0] + x), c[0]),
    "used after": lambda c, x: ((np.tanh(c[0] + x), c[0] * c[1]), np.sum(c[0])),
    "rows": lambda c, x: (c - np.max(c, axis=0) + x, None),
    "inner loop": lambda c, x: (lax.fori_loop(0, 3, lambda i, d: d * 0.9 + c[::-1], c) + x, None),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("n", [3, 24])
def test_loops_whose_steps_may_or_may_not_overwrite_the_carry(name, n):
    body = BODIES[name]
    c = RNG.normal(size=(n, n)) / n
    start = (c, c * 0.5) if name in ("pair", "used after") else c
    xs = RNG.normal(size=5) * 0.1

    def f(start, xs):
        return lax.scan(body, start, xs)

    for a, b in zip(fg.tree.leaves(fg.jit(f)(start, xs)), fg.tree.leaves(f(start, xs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    g = fg.grad(lambda start, xs: sum(np.sum(x**2) for x in fg.tree.leaves(f(start, xs))))
    for a, b in zip(fg.tree.leaves(fg.jit(g)(start, xs)), fg.tree.leaves(g(start, xs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


# -- products with what is added to them -------------------------------------------------------------------------------

SUMS = {
    "update": lambda w, x, g, s: w - s * (x.T @ g),
    "added": lambda w, x, g, s: (x.T @ g) * s + w,
    "plain": lambda w, x, g, s: w + x.T @ g,
    "difference": lambda w, x, g, s: w - x.T @ g,
    "constant scale": lambda w, x, g, s: w - 0.25 * (x.T @ g),
    "row": lambda w, x, g, s: x.T @ g + w[0],
    "scaled twice": lambda w, x, g, s: w - s * (2.0 * (x.T @ g)),
    "column": lambda w, x, g, s: x.T @ g + w[:, :1],
    "product of products": lambda w, x, g, s: x.T @ g + w @ (g.T @ g),
    "read again": lambda w, x, g, s: (w - s * (x.T @ g), x.T @ g),
    "computed addend": lambda w, x, g, s: np.tanh(w) - s * (x.T @ g),
}


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("sizes", [(5, 4, 3), (40, 33, 50), (300, 100, 90), (600, 50, 33)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_with_products(name, sizes, dtype):
    k, m, n = sizes
    w, x, g = (RNG.normal(size=s).astype(dtype) for s in ((m, n), (k, m), (k, n)))
    s = dtype(0.3)
    f = SUMS[name]
    if name == "product of products":
        w = RNG.normal(size=(m, n)).astype(dtype)
    exact = fg.tree.leaves(f(*(v.astype(np.float64) for v in (w, x, g)), float(s)))
    bound = 10 * k * n * np.finfo(dtype).eps
    for found, e in zip(fg.tree.leaves(fg.jit(f)(w, x, g, s)), exact, strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, e, rtol=bound, atol=bound)


def test_which_sums_are_folded():
    w, x, g = np.ones((4, 3)), np.ones((5, 4)), np.ones((5, 3))
    folded = {
        name: [c.addend is not None for c in gemms(fg.jit(f)._compiled((w, x, g, 0.3), {}).program.body)]
        for name, f in SUMS.items()
    }
    for name in ("update", "added", "plain", "difference", "constant scale", "row"):
        assert folded[name] == [True], name
    for name in ("column", "computed addend"):
        assert folded[name] == [False], name
    assert sum(folded["product of products"]) == 1
