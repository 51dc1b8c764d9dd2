"""SGD against its recurrences written out, eager and compiled."""

import numpy as np
import pytest

from fungrad import grad, jit, tree
from fungrad.errors import ArgumentError, TreeError
from fungrad.optim import Optimizer, apply_updates, constant, exponential_decay, sgd, step_decay


def written_out(gradients, p, rate, momentum=0.0, nesterov=False, weight_decay=0.0):
    v = np.zeros_like(p)
    for t, g in enumerate(gradients):
        g = g + weight_decay * p
        v = momentum * v + g
        p = p - (rate(t) if callable(rate) else rate) * (g + momentum * v if nesterov else v)
    return p


def run(optimizer, gradients, params, update):
    state = optimizer.init(params)
    for g in gradients:
        updates, state = update(g, state, params)
        for u, p in zip(tree.leaves(updates), tree.leaves(params), strict=True):
            assert u.dtype == p.dtype
        params = apply_updates(params, updates)
    return params, state


OPTIONS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"weight_decay": 0.1},
    {"momentum": 0.5, "nesterov": True, "weight_decay": 0.01},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("rate", [0.1, step_decay(0.1, 0.5, 2), exponential_decay(0.1, 0.3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_recurrence(options, rate, dtype):
    rng = np.random.default_rng(0)
    p = rng.normal(size=3).astype(dtype)
    gradients = [rng.normal(size=3).astype(dtype) for _ in range(5)]
    optimizer = sgd(rate, **options)
    found, state = run(optimizer, gradients, p, optimizer.update)
    assert found.dtype == dtype
    assert state.count == 5
    expected = written_out([g.astype(float) for g in gradients], p.astype(float), rate, **options)
    np.testing.assert_allclose(found, expected, rtol=20 * np.finfo(dtype).eps, atol=5 * np.finfo(dtype).eps)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("rate", [0.1, exponential_decay(0.1, 0.3)])
def test_compiled_update_equals_eager(options, rate):
    rng = np.random.default_rng(0)
    params = {"w": rng.normal(size=(2, 3)).astype(np.float32), "b": (rng.normal(size=2), np.float64(1.5))}
    gradients = [tree.map(lambda p, i=i: (0.1 * p * i).astype(p.dtype), params) for i in range(4)]
    optimizer = sgd(rate, **options)
    eager, state = run(optimizer, gradients, params, optimizer.update)
    compiled, compiled_state = run(optimizer, gradients, params, jit(optimizer.update))
    assert tree.structure(state) == tree.structure(compiled_state)
    for a, b in zip(tree.leaves((eager, state)), tree.leaves((compiled, compiled_state)), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_weight_decay_is_the_gradient_of_a_penalty():
    p = np.array([1.0, -2.0])
    penalised = grad(lambda p: np.sum(p**3) + 0.3 / 2 * np.sum(p**2))(p)
    decayed, plain = sgd(0.1, weight_decay=0.3), sgd(0.1)
    found, _ = decayed.update(3 * p**2, decayed.init(p), p)
    expected, _ = plain.update(penalised, plain.init(p), p)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_momentum_reaches_the_minimum_of_a_narrow_valley_sooner():
    curvature = np.array([1.0, 100.0])
    start = np.array([1.0, 1.0])
    ends = []
    for optimizer in (sgd(0.015), sgd(0.015, momentum=0.8)):
        p, state = start, optimizer.init(start)
        for _ in range(100):
            updates, state = optimizer.update(curvature * p, state, p)
            p = apply_updates(p, updates)
        ends.append(np.linalg.norm(p))
    assert ends[1] < ends[0] / 100


def test_inputs_are_not_changed_and_velocity_is_owned():
    p, g = np.ones(2), np.ones(2)
    optimizer = sgd(0.1, momentum=0.9)
    state = optimizer.init(p)
    assert state.velocity.flags.writeable
    _, after = optimizer.update(g, state, p)
    assert np.array_equal(p, np.ones(2))
    assert np.array_equal(state.velocity, np.zeros(2))
    assert np.array_equal(after.velocity, g)


def test_state_without_momentum_is_a_count():
    assert tree.leaves(sgd(0.1).init([np.ones(3)])) == [0]
    assert isinstance(sgd(0.1), Optimizer)


def test_numpy_hyperparameters_do_not_widen_float32():
    p = np.ones(2, np.float32)
    optimizer = sgd(np.float64(0.1), momentum=np.float64(0.9), weight_decay=np.float64(0.1))
    updates, state = optimizer.update(p, optimizer.init(p), p)
    assert updates.dtype == state.velocity.dtype == np.float32


def test_the_rate_can_be_differentiated():
    p, target = np.array([1.0, 2.0]), np.array([0.0, 1.0])

    def loss_after_a_step(rate):
        optimizer = sgd(rate)
        updates, _ = optimizer.update(2 * (p - target), optimizer.init(p), p)
        return np.sum((apply_updates(p, updates) - target) ** 2)

    # p - target = (1, 1); after the step (1 - 2 rate), so the loss is 2 (1 - 2 rate)^2
    assert grad(loss_after_a_step)(0.1) == pytest.approx(-8 * (1 - 0.2))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: sgd(0.0), r"learning_rate must be a number in \(0, inf\)"),
        (lambda: sgd(-0.1), "learning_rate"),
        (lambda: sgd(float("nan")), "learning_rate"),
        (lambda: sgd("fast"), "learning_rate"),
        (lambda: sgd(0.1, momentum=1.0), r"momentum must be a number in \[0, 1\)"),
        (lambda: sgd(0.1, momentum=-0.1), "momentum"),
        (lambda: sgd(0.1, weight_decay=-1.0), "weight_decay"),
        (lambda: sgd(0.1, nesterov=True), "nesterov"),
        (lambda: constant(0), "learning_rate"),
        (lambda: step_decay(0.1, 1.0, 5), "factor"),
        (lambda: step_decay(0.1, 0.5, 0), "every"),
        (lambda: step_decay(0.1, 0.5, 2.5), "every"),
        (lambda: exponential_decay(0.1, 0.0), "rate"),
        (lambda: sgd(0.1, weight_decay=0.1).update(np.ones(1), sgd(0.1).init(np.ones(1))), "update"),
    ],
)
def test_mistakes(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()


def test_structures_must_agree():
    with pytest.raises(TreeError):
        apply_updates([np.ones(1)], (np.ones(1),))
    optimizer = sgd(0.1, momentum=0.9)
    with pytest.raises(TreeError):
        optimizer.update([np.ones(1), np.ones(1)], optimizer.init([np.ones(1)]), None)
