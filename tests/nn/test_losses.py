"""Losses against their formulas, and what they refuse."""

import mpmath
import numpy as np
import pytest

from fungrad import grad, jit, nn
from fungrad.errors import ArgumentError, AxisError, DtypeError, OutOfBoundsError, ShapeError

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def test_squared_error_and_its_gradient():
    o, y = np.array([1.0, -2.0]), np.array([3.0, 0.5])
    assert np.array_equal(nn.squared_error(o, y), (o - y) ** 2)
    assert np.array_equal(grad(lambda o: np.sum(nn.squared_error(o, y)))(o), 2 * (o - y))
    assert nn.squared_error(o.astype(np.float32), y).dtype == np.float32


def test_squared_error_does_not_broadcast():
    with pytest.raises(ShapeError, match=r"f64\[4,1\].*f64\[4\]"):
        nn.squared_error(np.ones((4, 1)), np.ones(4))


def test_cross_entropy_is_minus_the_log_probability_of_the_label():
    logits = np.array([[1.0, -2.0, 0.3], [50.0, 0.0, -50.0]])
    labels = np.array([2, 2])
    with mpmath.workdps(40):
        expected = [
            float(mpmath.log(sum(mpmath.exp(v) for v in row)) - mpmath.mpf(row[k]))
            for row, k in zip(logits.tolist(), labels, strict=True)
        ]
    np.testing.assert_allclose(nn.softmax_cross_entropy(logits, labels), expected, rtol=1e-14)


@dtypes
@pytest.mark.parametrize("form", ["numbers", "one_hot", "bool", "uint8"])
def test_forms_of_labels_agree(dtype, form):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(5, 4)).astype(dtype), rng.integers(0, 4, 5)
    given = {
        "numbers": labels,
        "uint8": labels.astype(np.uint8),
        "one_hot": nn.one_hot(labels, 4),
        "bool": nn.one_hot(labels, 4).astype(bool),
    }[form]
    loss = nn.softmax_cross_entropy(logits, given)
    gradient = grad(lambda z: np.sum(nn.softmax_cross_entropy(z, given)))(logits)
    assert loss.shape == (5,)
    assert loss.dtype == gradient.dtype == dtype
    tolerance = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(loss, nn.softmax_cross_entropy(logits.astype(float), labels), rtol=tolerance)
    expected = nn.softmax(logits) - nn.one_hot(labels, 4)  # the textbook gradient p - y
    np.testing.assert_allclose(gradient, expected, atol=tolerance)


def test_soft_labels_and_their_gradient():
    rng = np.random.default_rng(1)
    logits, q = rng.normal(size=(3, 4)), nn.softmax(rng.normal(size=(3, 4)))
    expected = -np.sum(q * nn.log_softmax(logits), axis=-1)
    np.testing.assert_allclose(nn.softmax_cross_entropy(logits, q), expected, rtol=1e-14)
    by_labels = grad(lambda q: np.sum(nn.softmax_cross_entropy(logits, q)))(q)
    np.testing.assert_allclose(by_labels, -nn.log_softmax(logits), rtol=1e-14)


@dtypes
def test_extreme_logits(dtype):
    logits = np.array([[1e4, -1e4], [1e4, -1e4]], dtype)
    labels = np.array([0, 1])
    with np.errstate(all="raise", under="ignore"):
        assert np.array_equal(nn.softmax_cross_entropy(logits, labels), [0, 2e4])
        gradient = grad(lambda z: np.sum(nn.softmax_cross_entropy(z, labels)))(logits)
    assert np.array_equal(gradient, [[0, 0], [1, -1]])


def test_masked_class_costs_nothing_unless_it_is_the_label():
    logits = np.array([0.0, -np.inf, 0.0])
    assert nn.softmax_cross_entropy(logits, 0) == pytest.approx(np.log(2))
    assert np.all(np.isfinite(grad(lambda z: nn.softmax_cross_entropy(z, 0))(logits)))


@pytest.mark.parametrize("axis", [0, 1, -1, -3])
def test_classes_along_any_axis(axis):
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(3, 4, 5))
    moved = np.moveaxis(logits, axis, -1)
    labels = rng.integers(0, moved.shape[-1], moved.shape[:-1])
    found = nn.softmax_cross_entropy(logits, labels, axis)
    np.testing.assert_allclose(found, nn.softmax_cross_entropy(moved, labels), rtol=1e-13)


def test_one_example():
    assert nn.softmax_cross_entropy(np.zeros(4), 3).shape == ()
    assert grad(nn.softmax_cross_entropy)(np.zeros(4), 3).shape == (4,)


def test_label_mistakes():
    logits = np.zeros((2, 3))
    with pytest.raises(ShapeError, match=r"i64\[3\].*f64\[2,3\]"):
        nn.softmax_cross_entropy(logits, np.array([0, 1, 2]))
    with pytest.raises(DtypeError, match=r"labels.astype"):
        nn.softmax_cross_entropy(logits, np.array([0.0, 1.0]))
    with pytest.raises(OutOfBoundsError, match=r"label 3 .* 0 \.\. 2"):
        nn.softmax_cross_entropy(logits, np.array([0, 3]))
    with pytest.raises(OutOfBoundsError, match="label -1"):
        nn.softmax_cross_entropy(logits, np.array([-1, 2]))
    with pytest.raises(OutOfBoundsError, match="label 3"):
        grad(lambda z: np.sum(nn.softmax_cross_entropy(z, np.array([0, 3]))))(logits)
    with pytest.raises(AxisError, match="axis=2"):
        nn.softmax_cross_entropy(logits, np.array([0, 1]), axis=2)


def test_label_out_of_range_is_nan_where_it_cannot_raise():
    losses = jit(nn.softmax_cross_entropy)(np.zeros((3, 3)), np.array([0, 3, -1]))
    assert np.array_equal(np.isnan(losses), [False, True, True])


@dtypes
def test_one_hot(dtype):
    found = nn.one_hot([[2, 0], [1, 1]], 3, dtype)
    assert found.dtype == dtype
    assert np.array_equal(found, np.eye(3)[[[2, 0], [1, 1]]])
    assert nn.one_hot(1, 2).shape == (2,)
    assert nn.one_hot(np.zeros((0,), int), 3).shape == (0, 3)


def test_one_hot_mistakes():
    with pytest.raises(DtypeError, match="integers"):
        nn.one_hot(np.array([0.0]), 2)
    with pytest.raises(OutOfBoundsError, match="label 2"):
        nn.one_hot(np.array([2]), 2)
    with pytest.raises(ArgumentError, match="classes"):
        nn.one_hot(np.array([0]), 0)
