"""Training by gradient descent and evaluation of what was trained.

`fit` is the lecture's Train, corrected: the best score is remembered, the best parameters are kept as a copy, and
training stops when validation has stopped improving. A batch of one example gives the lecture's stochastic gradient
descent, a batch of the whole set gives plain gradient descent.
"""

from __future__ import annotations

import functools
import math
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fungrad import tree
from fungrad.api import value_and_grad
from fungrad.arguments import as_leaf
from fungrad.errors import ArgumentError, DtypeError, MissingPackageError, ShapeError
from fungrad.jitted import jit
from fungrad.nn.layers import generator
from fungrad.optim import Optimizer, Plateau, PlateauState, apply_updates

Model = Callable[[Any, Any], Any]  # (params, x) -> outputs, one a row
Loss = Callable[[Any, Any], Any]  # (outputs, y) -> losses of the batch, or their mean
Metric = Callable[[Any, Any], float]  # (outputs, y) -> one number


class Epoch(NamedTuple):
    """What one pass over the training set did. Prints as one line."""

    number: int  # from 1
    loss: float  # mean over the examples, each before its own step
    score: float | None  # of the validation set, after the pass; None without one
    best: bool  # whether this score is the best so far
    scale: float  # what the plateau rule multiplies steps by
    steps: int
    seconds: float  # of the steps alone; the first epoch includes compilation

    def __str__(self) -> str:
        score = "" if self.score is None else f"  validation {self.score:.4f}{' *' if self.best else '  '}"
        return f"epoch {self.number:3d}  loss {self.loss:.4f}{score}  {1e3 * self.seconds:8.1f} ms"


class Fit(NamedTuple):
    """The result of `fit`."""

    params: Any  # those of the best epoch; of the last one without validation
    best_epoch: int
    history: list[Epoch]
    stopped: str  # why training ended


def accuracy(outputs: Any, y: Any) -> float:
    """The share of rows of `outputs` whose largest entry is at the class number `y`.

    Raises:
        ArgumentError: y is not of class numbers or outputs has no axis of classes, as in a regression.
    """
    if np.asarray(y).dtype.kind not in "iu" or np.ndim(outputs) != np.ndim(y) + 1:
        raise ArgumentError(
            f"accuracy compares class scores with class numbers (integers), got outputs of shape {np.shape(outputs)} "
            f"and y of shape {np.shape(y)}, dtype {np.asarray(y).dtype}. For other targets pass a metric, for example "
            "metric=lambda outputs, y: np.mean((outputs - y) ** 2) with higher_is_better=False."
        )
    return float(np.mean(np.argmax(outputs, axis=-1) == y))


def evaluate(
    model: Model, params: Any, data: tuple[Any, Any], *, metric: Metric = accuracy, batch_size: int = 1024
) -> float:
    """A metric of a model's outputs over a whole data set.

    The model runs in batches, the metric once over all outputs, so that any metric is exact, not only those that are
    means over examples.

    Args:
        model: `(params, x) -> outputs`, with one row of outputs for each of x; may be compiled with `jit`.
        data: a pair (x, y) of arrays with one row an example.
        metric: `(outputs, y) -> number`, on ndarrays.
        batch_size: rows given to the model at a time.

    Raises:
        ArgumentError: data is not such a pair or is empty, or batch_size is not a positive int.
        ShapeError: x and y have different lengths, or the model returns another number of rows.
    """
    x, y = _examples("evaluate", "data", data)
    _positive("evaluate", "batch_size", batch_size)
    outputs = []
    for start in range(0, len(x), batch_size):
        rows = x[start : start + batch_size]
        out = np.asarray(model(params, rows))
        if out.shape[:1] != (len(rows),):
            raise ShapeError(
                f"evaluate: the model returned shape {out.shape} for {len(rows)} examples; expected one row for each."
            )
        outputs.append(out)
    return float(metric(np.concatenate(outputs), y))


def fit(
    model: Model,
    loss: Loss,
    params: Any,
    data: tuple[Any, Any],
    *,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None,
    validation: tuple[Any, Any] | None = None,
    metric: Metric = accuracy,
    higher_is_better: bool = True,
    patience: int | None = None,
    plateau: Plateau | None = None,
    seed: int | np.random.Generator = 0,
    compiled: bool = True,
    progress: bool = False,
    log: Callable[[str], Any] | None = None,
    callback: Callable[[Epoch, Any], Any] | None = None,
) -> Fit:
    """Train `params` to lower the mean of `loss(model(params, x), y)`.

    Args:
        model: `(params, x) -> outputs`, with one row of outputs for each of x.
        loss: `(outputs, y) -> losses`; their mean over the batch is what gradients are taken of.
        params: a pytree of float arrays; it is not changed.
        data: a pair (x, y) of arrays with one row an example.
        optimizer: an `(init, update)` pair, such as `optim.sgd(0.1)`.
        epochs: how many passes over the data, at most.
        batch_size: examples a step, from 1 to all; None means all. The last batch of an epoch may be smaller.
        validation: a pair like `data`, scored after each epoch by `metric(model(params, x), y)`.
        higher_is_better: whether a larger score is a better one.
        patience: stop after so many epochs without a new best score.
        plateau: shorten the steps when the score has stopped improving; see `optim.reduce_on_plateau`.
        seed: of the order of the examples, shuffled each epoch: an int or a NumPy Generator. Whole-set batches keep
            the order.
        compiled: run the step through `jit`. Validation runs the model as it is; pass `jit(model)` to compile it too.
        progress: show a bar over the batches of each epoch (needs tqdm).
        log: called with a line for each epoch, for example `print`.
        callback: called with the `Epoch` and the current parameters after each epoch.

    Returns:
        A `Fit` with the parameters of the best epoch (of the last one without validation).

    Raises:
        ArgumentError: an argument is out of range, or patience or plateau comes without validation.
        ShapeError: lengths differ. DtypeError: a data set is not an array of numbers.
        MissingPackageError: progress=True and tqdm is not installed.

    A loss that is no longer finite ends training with a RuntimeWarning.

    >>> from fungrad import nn, optim
    >>> x = np.linspace(-1.0, 1.0, 20)
    >>> def line(p, x):
    ...     return p["slope"] * x + p["offset"]
    >>> start, optimizer = {"slope": 0.0, "offset": 0.0}, optim.sgd(0.5)
    >>> result = fit(line, nn.squared_error, start, (x, 3 * x + 1), optimizer=optimizer, epochs=60, batch_size=5)
    >>> round(float(result.params["slope"]), 3), round(float(result.params["offset"]), 3)
    (3.0, 1.0)
    """
    x, y = _examples("fit", "data", data)
    held_out = None if validation is None else _examples("fit", "validation", validation)
    size = _check_fit(len(x), optimizer, epochs, batch_size, held_out is not None, patience, plateau)
    rng = generator("fit", seed)
    bar = _progress_bar() if progress else None
    eager = _make_step(model, loss, optimizer, scaled=plateau is not None)
    step = jit(eager) if compiled else eager

    params = _copy(params)
    state = optimizer.init(params)
    rule = plateau.init() if plateau else PlateauState(1.0, -math.inf, 0)
    best_params, best_score, best_epoch = _copy(params), -math.inf, 0
    history: list[Epoch] = []
    stopped = f"all {epochs} epochs are done"

    for number in range(1, epochs + 1):
        began = time.perf_counter()
        scale = np.float64(rule.scale)
        total = 0.0
        batches = list(_batches(len(x), size, rng))
        for rows in bar(batches, desc=f"epoch {number}", unit="step", leave=False) if bar else batches:
            # a smaller last batch runs uncompiled: another compilation for one step an epoch rarely pays
            one_step = step if len(rows) == size else eager
            params, state, value = one_step(params, state, x[rows], y[rows], scale)
            total += float(value) * len(rows)
        seconds = time.perf_counter() - began

        score = None
        is_best = held_out is None
        if held_out is not None:
            score = evaluate(model, params, held_out, metric=metric)
            ranked = score if higher_is_better else -score
            is_best = ranked > best_score
            best_score = max(best_score, ranked)
            rule = plateau.update(rule, ranked) if plateau else rule
        if is_best:
            best_params, best_epoch = _copy(params), number  # a copy: steps may reuse the memory of params
        epoch = Epoch(number, total / len(x), score, is_best, float(scale), len(batches), seconds)
        history.append(epoch)
        if log:
            log(str(epoch))
        if callback:
            callback(epoch, params)

        if not math.isfinite(epoch.loss):
            stopped = f"the training loss became {epoch.loss} in epoch {number}"
            warnings.warn(f"fit: {stopped}; try a smaller learning rate.", RuntimeWarning, stacklevel=2)
            break
        if patience is not None and number - best_epoch >= patience:
            stopped = f"no better validation score in {patience} epochs"
            break
    return Fit(best_params, best_epoch, history, stopped)


def _make_step(model: Model, loss: Loss, optimizer: Optimizer, scaled: bool) -> Callable[..., Any]:
    """One step: (params, state, x, y, scale) -> (params, state, mean loss)."""

    def objective(params: Any, x: Any, y: Any) -> Any:
        return np.mean(loss(model(params, x), y))

    def step(params: Any, state: Any, x: Any, y: Any, scale: Any) -> Any:
        value, grads = value_and_grad(objective)(params, x, y)
        updates, state = optimizer.update(grads, state, params)
        if scaled:
            updates = tree.map(lambda u: scale.astype(u.dtype) * u, updates)
        return apply_updates(params, updates), state, value

    return step


def _batches(count: int, size: int, rng: np.random.Generator) -> Iterator[Any]:
    """The row numbers of each batch of one epoch."""
    order = np.arange(count) if size == count else rng.permutation(count)
    for start in range(0, count, size):
        yield order[start : start + size]


def _copy(params: Any) -> Any:
    return tree.map(lambda leaf: as_leaf(leaf, "params")[0].copy(), params)


# -- checks ----------------------------------------------------------------------------------------------------------


def _examples(function: str, name: str, data: Any) -> tuple[Any, Any]:
    """The pair (x, y), checked."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ArgumentError(f"{function}: {name} must be a pair (x, y) of arrays, got a {type(data).__name__}.")
    x, y = (np.asarray(part) for part in data)
    for part, array in (("x", x), ("y", y)):
        if array.dtype.kind not in "biuf":
            raise DtypeError(f"{function}: {part} of {name} has dtype {array.dtype}, expected numbers.")
        if array.ndim == 0:
            raise ArgumentError(f"{function}: {part} of {name} is one number; expected an array with a row an example.")
    if len(x) != len(y):
        raise ShapeError(f"{function}: {name} has {len(x)} rows of x but {len(y)} of y; each example needs both.")
    if len(x) == 0:
        raise ArgumentError(f"{function}: {name} is empty.")
    return x, y


def _positive(function: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ArgumentError(f"{function}: {name} must be a positive int, got {value!r}.")


def _check_fit(
    count: int, optimizer: Any, epochs: Any, batch_size: Any, validated: bool, patience: Any, plateau: Any
) -> int:
    """The batch size, after the arguments of `fit` have been checked."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(
            f"fit: optimizer must be an Optimizer, a pair (init, update) such as optim.sgd(0.1), got {optimizer!r}."
        )
    _positive("fit", "epochs", epochs)
    size = count if batch_size is None else batch_size
    _positive("fit", "batch_size", size)
    if size > count:
        raise ArgumentError(
            f"fit: batch_size={size} is more than the {count} examples there are; pass None for batches of all."
        )
    if plateau is not None and not isinstance(plateau, Plateau):
        raise ArgumentError(f"fit: plateau must come from optim.reduce_on_plateau, got {plateau!r}.")
    if patience is not None:
        _positive("fit", "patience", patience)
    for name, given in (("patience", patience), ("plateau", plateau)):
        if given is not None and not validated:
            raise ArgumentError(f"fit: {name} watches the validation score; pass validation=(x, y).")
    return int(size)


def _progress_bar() -> Callable[..., Any]:
    try:
        from tqdm import tqdm
    except ImportError:
        raise MissingPackageError("fit: progress=True needs tqdm; install it with `pip install tqdm`.") from None
    return functools.partial(tqdm, dynamic_ncols=True)
