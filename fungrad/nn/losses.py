"""Losses, one value an example: take `np.mean` over the batch.

Predictions come first, then targets. The result has the dtype of the predictions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, DtypeError, OutOfBoundsError, ShapeError
from fungrad.ir.types import type_of
from fungrad.nn.activations import log_softmax
from fungrad.nn.checks import as_array, as_float, normal_axes
from fungrad.trace import STATIC, Tracer, concrete_value


def squared_error(prediction: Any, target: Any) -> Any:
    """(prediction - target)^2, element by element; the gradient is 2 (prediction - target).

    Args:
        prediction: floats of any shape.
        target: numbers of the same shape.

    Raises:
        ShapeError: the shapes differ. They are not broadcast: (n, 1) against (n,) would give n^2 errors.

    >>> squared_error(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    array([0., 4.])
    """
    o = as_float("squared_error", "prediction", prediction)
    y = as_array("squared_error", "target", target)
    if o.shape != y.shape:
        raise ShapeError(
            f"squared_error: prediction is {type_of(o)} and target {type_of(y)}; they must have one shape. "
            "Use reshape, or np.broadcast_to if a target stands for several predictions."
        )
    return np.square(o - y.astype(o.dtype))


def softmax_cross_entropy(logits: Any, labels: Any, axis: int = -1) -> Any:
    """-log softmax(logits)[label]: the cost, in nats, of the label under the predicted distribution.

    Args:
        logits: floats, shape (..., K, ...) with the K classes along `axis`; any size, only differences matter.
        labels: either the number of the class, integers of the shape of `logits` without `axis`; or a distribution over
            the classes (one-hot or soft), of the shape of `logits`.
        axis: where the classes are.

    Returns:
        The losses, of the shape of `logits` without `axis`. Where a class number out of range is known only at run
        time, under `jit`, its loss is nan.

    Raises:
        ShapeError, DtypeError: `labels` has neither form.
        OutOfBoundsError: a class number is not in 0 .. K-1.

    >>> float(softmax_cross_entropy(np.array([0.0, 0.0]), 1))  # log 2
    0.6931471805599453
    """
    name = "softmax_cross_entropy"
    x, y = as_float(name, "logits", logits), as_array(name, "labels", labels)
    (axis,) = normal_axes(name, x, axis)
    numbers_shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    if y.shape == x.shape:
        return -np.sum(y.astype(x.dtype) * log_softmax(x, axis), axis=axis)
    if y.shape != numbers_shape:
        raise ShapeError(
            f"{name}: labels are {type_of(y)} for logits {type_of(x)}; give class numbers of shape {numbers_shape} "
            f"or a distribution of shape {x.shape}."
        )
    if y.dtype.kind not in "iu":
        raise DtypeError(
            f"{name}: labels of shape {numbers_shape} are class numbers and must be integers, got {type_of(y)}. "
            "Convert them with labels.astype(np.int64)."
        )
    classes = x.shape[axis]
    _check_labels(name, y, classes)
    chosen = _is_label(y, classes, axis)
    loss = -np.sum(np.where(chosen, log_softmax(x, axis), 0.0), axis=axis)
    if _known(y) is None:
        return np.where((y >= 0) & (y < classes), loss, np.nan)
    return loss


def one_hot(labels: Any, classes: int, dtype: Any = np.float64) -> Any:
    """1 at the label, 0 elsewhere.

    Args:
        labels: class numbers, integers of any shape.
        classes: how many classes there are, K.
        dtype: of the result.

    Returns:
        Shape (*labels.shape, K). Where a label out of range is known only at run time, under `jit`, its row is 0.

    Raises:
        DtypeError: the labels are not integers.
        OutOfBoundsError: a label is not in 0 .. K-1.

    >>> one_hot(np.array([2, 0]), 3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 1:
        hint = f" {STATIC}" if isinstance(classes, Tracer) else ""
        raise ArgumentError(f"one_hot: classes must be a positive int, got {classes!r}.{hint}")
    y = as_array("one_hot", "labels", labels)
    if y.dtype.kind not in "iu":
        raise DtypeError(f"one_hot: labels must be integers, got {type_of(y)}.")
    _check_labels("one_hot", y, classes)
    return _is_label(y, classes, y.ndim).astype(dtype)


def _is_label(labels: Any, classes: int, axis: int) -> Any:
    """Whether each class, along a new axis, is the label."""
    shape = [1] * (labels.ndim + 1)
    shape[axis] = classes
    numbers = np.arange(classes).reshape(shape)
    return np.expand_dims(labels, axis) == numbers


def _check_labels(function: str, labels: Any, classes: int) -> None:
    """Raise if a label that is known lies outside its range."""
    known = _known(labels)
    if known is None or known.size == 0:
        return
    wrong = known.min() if known.min() < 0 else known.max()
    if not 0 <= wrong < classes:
        raise OutOfBoundsError(f"{function}: label {wrong} is out of range, expected 0 .. {classes - 1}.")


def _known(labels: Any) -> Any:
    """The labels as an ndarray, or None where only their type is known."""
    return concrete_value(labels) if isinstance(labels, Tracer) else labels
