"""Rows S1-S12 of docs/lecture.md: networks, descent, training."""

import math

import numpy as np

from fungrad import grad, jit, make_graph, nn, optim, tree, value_and_grad
from fungrad.train import accuracy, evaluate, fit

RNG = np.random.default_rng(0)
PARAMS = nn.init_mlp(0, [4, 6, 5, 3, 2])
X, LABELS = RNG.normal(size=(12, 4)), RNG.integers(0, 2, 12)


def loss(params, x, y):
    return np.mean(nn.softmax_cross_entropy(nn.mlp(params, x), y))


def test_s1_parameters_are_pairs_of_weights_and_biases():
    assert [(A.shape, b.shape) for A, b in PARAMS] == [((4, 6), (6,)), ((6, 5), (5,)), ((5, 3), (3,)), ((3, 2), (2,))]
    assert tree.structure(grad(loss)(PARAMS, X, LABELS)) == tree.structure(PARAMS)


def test_s2_network_is_a_composition():
    layers = [lambda z, A=A, b=b: nn.relu(A.T @ z + b) for A, b in PARAMS[:-1]]
    z = X[0]
    for layer in layers:
        z = layer(z)
    A, b = PARAMS[-1]
    np.testing.assert_allclose(A.T @ z + b, nn.mlp(PARAMS, X[0]), rtol=1e-12)


def test_s3_layer():
    (A, b), x = PARAMS[0], X[0]
    z = [max(sum(A[i, j] * x[i] for i in range(4)) + b[j], 0.0) for j in range(6)]
    np.testing.assert_allclose(nn.relu(nn.linear(x, A, b)), z, rtol=1e-12)


def test_s4_three_hidden_layers_unrolled():
    (A1, b1), (A2, b2), (A3, b3), (A4, b4) = PARAMS
    z1 = nn.sigmoid(A1.T @ X[0] + b1)
    z2 = nn.sigmoid(A2.T @ z1 + b2)
    z3 = nn.sigmoid(A3.T @ z2 + b3)
    np.testing.assert_allclose(A4.T @ z3 + b4, nn.mlp(PARAMS, X[0], nn.sigmoid), rtol=1e-12)


def test_s5_modules_are_functions_of_parameters():
    before = tree.map(np.copy, PARAMS)
    first, second = nn.mlp(PARAMS, X), nn.mlp(PARAMS, X)
    assert np.array_equal(first, second)
    assert all(np.array_equal(a, b) for a, b in zip(tree.leaves(before), tree.leaves(PARAMS), strict=True))


def test_s6_calculus_graph_has_the_layers_functions_in_order():
    names = [eqn.op.name for eqn in make_graph(lambda x: nn.mlp(PARAMS, x, nn.tanh))(X[0]).equations]
    assert names == ["dot", "add", "tanh"] * 3 + ["dot", "add"]


def test_s7_gradient_descent_uses_the_mean_of_all_gradients():
    each = [grad(loss)(PARAMS, X[i : i + 1], LABELS[i : i + 1]) for i in range(12)]
    mean = tree.map(lambda *g: sum(g) / 12, *each)
    expected = tree.map(lambda p, g: p - 0.1 * g, PARAMS, mean)
    result = fit(
        nn.mlp,
        nn.softmax_cross_entropy,
        PARAMS,
        (X, LABELS),
        optimizer=optim.sgd(0.1),
        epochs=1,
        batch_size=None,
    )
    for a, b in zip(tree.leaves(result.params), tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_s8_stochastic_gradient_descent_one_example_a_step_and_one_evaluation():
    calls = []

    def counted(params, x):
        calls.append(x.shape)
        return nn.mlp(params, x)

    result = fit(
        counted,
        nn.softmax_cross_entropy,
        PARAMS,
        (X, LABELS),
        optimizer=optim.sgd(0.1),
        epochs=1,
        batch_size=1,
        seed=3,
        compiled=False,
    )
    assert calls == [(1, 4)] * 12  # value and gradient come from one evaluation
    expected = PARAMS
    for i in np.random.default_rng(3).permutation(12):
        _, gradient = value_and_grad(loss)(expected, X[i : i + 1], LABELS[i : i + 1])
        expected = tree.map(lambda p, g: p - 0.1 * g, expected, gradient)
    for a, b in zip(tree.leaves(result.params), tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_s9_an_epoch_sees_every_example_once():
    seen = []

    def watch(params, x):
        seen.append(x[:, 0])
        return nn.linear(x, *params)

    data = (X, X[:, :1])
    start = (np.zeros((4, 1)), np.zeros(1))
    fit(watch, nn.squared_error, start, data, optimizer=optim.sgd(1e-3), epochs=3, batch_size=5, compiled=False)
    rows = np.concatenate([np.asarray(v.value) for v in seen] if hasattr(seen[0], "value") else seen)
    assert np.array_equal(np.sort(rows.reshape(3, 12), axis=1), np.tile(np.sort(X[:, 0]), (3, 1)))


def scripted(scores):
    left = iter(scores)
    return lambda outputs, y: next(left)


def test_s10_train_returns_a_copy_of_the_best_parameters():
    """E3, E4: as printed the last epoch's come back (3 of 3); corrected, the best epoch's (2)."""
    kept = []
    result = fit(
        nn.mlp,
        nn.softmax_cross_entropy,
        PARAMS,
        (X, LABELS),
        optimizer=optim.sgd(0.1),
        epochs=3,
        batch_size=4,
        validation=(X, LABELS),
        metric=scripted([0.5, 0.9, 0.7]),
        callback=lambda epoch, params: kept.append(tree.map(np.copy, params)),
    )
    assert result.best_epoch == 2
    assert all(np.array_equal(a, b) for a, b in zip(tree.leaves(result.params), tree.leaves(kept[1]), strict=True))


def test_s11_evaluate_counts_right_answers_and_takes_any_metric():
    right = sum(int(np.argmax(nn.mlp(PARAMS, x)) == y) for x, y in zip(X, LABELS, strict=True))
    assert evaluate(nn.mlp, PARAMS, (X, LABELS), metric=accuracy, batch_size=5) == right / 12
    recall = evaluate(
        nn.mlp, PARAMS, (X, LABELS), metric=lambda o, y: np.mean(np.argmax(o, axis=-1)[y == 1] == 1), batch_size=5
    )
    assert recall == np.mean([np.argmax(nn.mlp(PARAMS, x)) == 1 for x in X[LABELS == 1]])


def test_s11_early_stop():
    result = fit(
        nn.mlp,
        nn.softmax_cross_entropy,
        PARAMS,
        (X, LABELS),
        optimizer=optim.sgd(0.1),
        epochs=50,
        batch_size=None,
        validation=(X, LABELS),
        metric=scripted([0.5, 0.6, 0.6, 0.6, 0.7]),
        patience=2,
    )
    assert len(result.history) == 4
    assert result.best_epoch == 2


def test_s12_step_size_heuristics():
    assert optim.constant(1e-2)(123) == 1e-2
    every = optim.step_decay(1.0, 0.1, every=3)
    np.testing.assert_allclose([every(t) for t in range(7)], [1, 1, 1, 0.1, 0.1, 0.1, 0.01])
    exponential = optim.exponential_decay(0.5, 0.2)
    np.testing.assert_allclose([exponential(t) for t in range(5)], [0.5 * math.exp(-0.2 * t) for t in range(5)])
    plateau = optim.reduce_on_plateau(factor=0.1, patience=2)
    state = plateau.init()
    for score in (0.5, 0.5, 0.4):
        state = plateau.update(state, score)
    assert state.scale == 0.1
    assert jit(every)(np.int64(4)) == every(4)
