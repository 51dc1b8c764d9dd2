"""The training loop: what it returns, when it stops, and what it refuses."""

import builtins

import numpy as np
import pytest

from fungrad import nn, optim, tree, value_and_grad
from fungrad.errors import ArgumentError, DtypeError, MissingPackageError, ShapeError
from fungrad.train import Epoch, accuracy, evaluate, fit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(23, 3))
Y = X @ np.array([[1.0], [-2.0], [0.5]]) + 0.1
START = (np.zeros((3, 1)), np.zeros(1))


def model(params, x):
    return nn.linear(x, *params)


def train(**options):
    settings = {"optimizer": optim.sgd(0.05), "epochs": 2, "batch_size": 8, "compiled": False, **options}
    return fit(model, nn.squared_error, START, (X, Y), **settings)


def by_hand(order, size, rate=0.05):
    """The same descent, without fit."""
    params = START
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        _, gradient = value_and_grad(lambda p, rows=rows: np.mean((model(p, X[rows]) - Y[rows]) ** 2))(params)
        params = tree.map(lambda p, g: p - rate * g, params, gradient)
    return params


def same(a, b, rtol=0.0):
    return all(np.allclose(p, q, rtol=rtol, atol=rtol) for p, q in zip(tree.leaves(a), tree.leaves(b), strict=True))


# -- what a pass does ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5, 22, 23])
def test_one_epoch_is_the_hand_written_loop(size):
    result = train(epochs=1, batch_size=size, seed=7)
    order = np.arange(23) if size == 23 else np.random.default_rng(7).permutation(23)
    assert same(result.params, by_hand(order, size), rtol=1e-13)
    assert result.history[0].steps == -(-23 // size)


def test_whole_set_is_gradient_descent():
    assert same(train(batch_size=None).params, by_hand(np.tile(np.arange(23), 2), 23), rtol=1e-13)


@pytest.mark.parametrize("size", [1, 5, None])
def test_compiled_step_gives_what_the_eager_one_gives(size):
    optimizer = optim.sgd(optim.exponential_decay(0.05, 0.01), momentum=0.5, weight_decay=1e-3)
    options = {
        "batch_size": size,
        "optimizer": optimizer,
        "validation": (X, Y),
        "metric": lambda o, y: -np.mean(abs(o - y)),
        "plateau": optim.reduce_on_plateau(factor=0.5, patience=1),
    }
    eager, compiled = (train(compiled=c, epochs=3, **options) for c in (False, True))
    assert same(eager.params, compiled.params, rtol=1e-12)
    np.testing.assert_allclose([e.loss for e in eager.history], [e.loss for e in compiled.history], rtol=1e-12)


def test_loss_is_the_mean_over_examples_even_with_a_short_last_batch():
    # a rate too small to change anything: the recorded loss is the loss of the start
    result = train(optimizer=optim.sgd(1e-300), epochs=1, batch_size=5)
    assert result.history[0].loss == pytest.approx(np.mean(Y**2), rel=1e-13)


def test_seed_decides_the_order():
    first, again, other = (train(batch_size=4, seed=s) for s in (1, 1, 2))
    assert same(first.params, again.params)
    assert not same(first.params, other.params, rtol=1e-6)
    drawn = train(batch_size=4, seed=np.random.default_rng(1))
    assert same(first.params, drawn.params)


def test_epochs_are_shuffled_differently():
    seen = []

    def watch(params, x):
        seen.append(np.asarray(getattr(x, "value", x))[:, 0])
        return model(params, x)

    fit(watch, nn.squared_error, START, (X, Y), optimizer=optim.sgd(0.01), epochs=2, batch_size=23 - 1, compiled=False)
    first, second = np.concatenate(seen[:2]), np.concatenate(seen[2:])
    assert sorted(first) == sorted(second) == sorted(X[:, 0])  # each example once an epoch
    assert not np.array_equal(first, second)


def test_float32_stays_float32():
    params = nn.init_mlp(0, [3, 4, 1], dtype=np.float32)
    result = fit(
        nn.mlp,
        nn.squared_error,
        params,
        (X.astype(np.float32), Y),
        optimizer=optim.sgd(optim.step_decay(0.05, 0.5, 2), momentum=0.9, weight_decay=1e-3),
        plateau=optim.reduce_on_plateau(patience=1),
        validation=(X.astype(np.float32), Y),
        metric=lambda o, y: -float(np.mean((o - y) ** 2)),
        epochs=2,
        batch_size=8,
    )
    assert all(leaf.dtype == np.float32 for leaf in tree.leaves(result.params))


def test_params_may_be_numbers_and_are_not_changed():
    start = {"slope": 0.0, "offset": np.zeros(())}
    x = np.linspace(-1, 1, 20)
    result = fit(
        lambda p, x: p["slope"] * x + p["offset"],
        nn.squared_error,
        start,
        (x, 3 * x + 1),
        optimizer=optim.sgd(0.5),
        epochs=60,
        batch_size=5,
    )
    assert result.params["slope"] == pytest.approx(3)
    assert result.params["offset"] == pytest.approx(1)
    assert start == {"slope": 0.0, "offset": np.zeros(())}


# -- what is kept, and when it stops ---------------------------------------------------------------------------------


def scripted(scores):
    """A metric that returns these scores, one an epoch."""
    left = iter(scores)
    return lambda outputs, y: next(left)


def params_of_each_epoch(**options):
    seen = []
    result = train(callback=lambda epoch, params: seen.append(tree.map(np.copy, params)), **options)
    return seen, result


def test_parameters_of_the_best_epoch_come_back():
    """Errata E3: with the assignment the wrong way round, those of the last epoch would."""
    seen, result = params_of_each_epoch(epochs=4, validation=(X, Y), metric=scripted([0.5, 0.9, 0.7, 0.8]))
    assert result.best_epoch == 2
    assert same(result.params, seen[1])
    assert not same(result.params, seen[3])
    assert [e.best for e in result.history] == [True, True, False, False]


def test_the_best_parameters_are_a_copy():
    """Errata E4: an optimizer that changes parameters in place must not change what was kept."""

    def update(grads, state, params):
        for p, g in zip(tree.leaves(params), tree.leaves(grads), strict=True):
            p -= 0.05 * g
        return tree.map(np.zeros_like, params), state

    in_place = optim.Optimizer(lambda params: (), update)
    start = tree.map(np.copy, START)
    seen = []
    result = fit(
        model,
        nn.squared_error,
        start,
        (X, Y),
        optimizer=in_place,
        epochs=3,
        compiled=False,
        validation=(X, Y),
        metric=scripted([0.1, 0.9, 0.2]),
        batch_size=None,
        callback=lambda epoch, params: seen.append(tree.map(np.copy, params)),
    )
    assert same(result.params, seen[1])
    assert same(start, START)
    assert not any(np.shares_memory(p, q) for p, q in zip(result.params, seen[1], strict=True))


def test_first_of_equal_scores_wins():
    assert train(epochs=3, validation=(X, Y), metric=scripted([0.5, 0.5, 0.4])).best_epoch == 1


def test_lower_is_better():
    _, result = params_of_each_epoch(
        epochs=3, validation=(X, Y), metric=scripted([3.0, 1.0, 2.0]), higher_is_better=False
    )
    assert result.best_epoch == 2
    assert [e.score for e in result.history] == [3.0, 1.0, 2.0]


def test_without_validation_the_last_epoch_comes_back():
    seen, result = params_of_each_epoch(epochs=3)
    assert result.best_epoch == 3
    assert same(result.params, seen[2])
    assert result.history[0].score is None


def test_patience():
    """Errata E5: the printed algorithm never stops early."""
    scores = [0.1, 0.5, 0.4, 0.3, 0.6, 0.2, 0.2, 0.2, 0.9]
    result = train(epochs=9, validation=(X, Y), metric=scripted(scores), patience=3)
    assert len(result.history) == 8
    assert result.best_epoch == 5
    assert "3 epochs" in result.stopped
    assert "all 2 epochs" in train().stopped


def test_plateau_shortens_steps():
    options = {"epochs": 4, "validation": (X, Y), "batch_size": None}
    scores = [0.5, 0.4, 0.3, 0.2]
    seen, result = params_of_each_epoch(
        metric=scripted(scores), plateau=optim.reduce_on_plateau(factor=0.1, patience=2), **options
    )
    plain, _ = params_of_each_epoch(metric=scripted(scores), **options)
    assert [e.scale for e in result.history] == [1, 1, 1, 0.1]
    assert same(seen[2], plain[2])
    np.testing.assert_allclose(seen[3][0] - seen[2][0], 0.1 * (plain[3][0] - plain[2][0]), rtol=1e-10)


def test_a_loss_that_is_not_finite_ends_training_with_a_warning():
    with pytest.warns(RuntimeWarning, match="smaller learning rate"), np.errstate(all="ignore"):
        result = train(optimizer=optim.sgd(1e200), epochs=50, batch_size=None)
    assert len(result.history) < 50
    assert "loss became" in result.stopped


def test_nan_scores_are_never_best():
    result = train(epochs=3, validation=(X, Y), metric=scripted([np.nan, 0.2, np.nan]))
    assert result.best_epoch == 2


# -- what is shown ---------------------------------------------------------------------------------------------------


def test_log_gets_a_line_an_epoch_and_callback_the_record():
    lines, records = [], []
    shown = {"log": lines.append, "callback": lambda epoch, params: records.append(epoch)}
    train(**shown, validation=(X, Y), metric=scripted([1, 2]))
    assert len(lines) == len(records) == 2
    assert all(isinstance(r, Epoch) for r in records)
    assert lines[0].startswith("epoch   1  loss")
    assert "validation 1.0000 *" in lines[0]


def test_progress_bar(capsys):
    train(progress=True, epochs=1)
    assert "epoch 1" in capsys.readouterr().err


def test_missing_tqdm_says_how_to_install_it(monkeypatch):
    original = builtins.__import__

    def without_tqdm(name, *args, **kwargs):
        if name.startswith("tqdm"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_tqdm)
    with pytest.raises(MissingPackageError, match="pip install tqdm"):
        train(progress=True)


# -- evaluate --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 4, 23, 100])
def test_evaluate_does_not_depend_on_the_batch_size(batch_size):
    y = RNG.integers(0, 4, 23)
    params = nn.init_mlp(0, [3, 5, 4])
    outputs = nn.mlp(params, X)
    expected = sum(int(np.argmax(o) == k) for o, k in zip(outputs, y, strict=True)) / 23
    assert evaluate(nn.mlp, params, (X, y), batch_size=batch_size) == pytest.approx(expected)
    median = evaluate(nn.mlp, params, (X, y), metric=lambda o, y: np.median(o), batch_size=batch_size)
    assert median == pytest.approx(np.median(outputs))


def test_accuracy():
    assert accuracy(np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]), np.array([1, 1, 1])) == 2 / 3


def test_evaluate_mistakes():
    with pytest.raises(ShapeError, match="23 rows of x but 22 of y"):
        evaluate(model, START, (X, Y[:-1]))
    with pytest.raises(ArgumentError, match="empty"):
        evaluate(model, START, (X[:0], Y[:0]))
    with pytest.raises(ArgumentError, match="batch_size"):
        evaluate(model, START, (X, Y), batch_size=0)
    with pytest.raises(ShapeError, match="one row for each"):
        evaluate(lambda p, x: np.sum(x), START, (X, Y))


# -- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 0}, "batch_size must be a positive int"),
        ({"batch_size": 2.0}, "batch_size"),
        ({"batch_size": 24}, "more than the 23 examples"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": True}, "epochs"),
        ({"patience": 0, "validation": (X, Y)}, "patience"),
        ({"patience": 3}, "validation"),
        ({"plateau": optim.reduce_on_plateau()}, "validation"),
        ({"plateau": 0.1, "validation": (X, Y)}, "reduce_on_plateau"),
        ({"optimizer": 0.1}, "optim.sgd"),
        ({"optimizer": optim.sgd}, "optim.sgd"),
        ({"seed": "a"}, "seed"),
        ({"validation": X}, "validation must be a pair"),
        ({"validation": (X[:0], Y[:0])}, "validation is empty"),
    ],
)
def test_wrong_options(options, text):
    with pytest.raises(ArgumentError, match=text):
        train(**options)


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (X, ArgumentError, "pair"),
        ((X, Y, Y), ArgumentError, "pair"),
        ((X, Y[:-2]), ShapeError, "23 rows of x but 21 of y"),
        ((X[:0], Y[:0]), ArgumentError, "empty"),
        ((X, 1.0), ArgumentError, "one number"),
        ((X, np.array(["a"] * 23)), DtypeError, "y of data"),
    ],
)
def test_wrong_data(data, error, text):
    with pytest.raises(error, match=text):
        fit(model, nn.squared_error, START, data, optimizer=optim.sgd(0.1), epochs=1, batch_size=1)


def test_accuracy_refuses_targets_that_are_not_classes():
    from fungrad.errors import ArgumentError
    from fungrad.train import accuracy

    with pytest.raises(ArgumentError, match="class numbers"):
        accuracy(np.zeros((4, 1)), np.zeros((4, 1)))
