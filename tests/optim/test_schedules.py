"""Schedules against their formulas; the plateau rule against a loop."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fungrad import jit
from fungrad.errors import ArgumentError
from fungrad.optim import constant, exponential_decay, reduce_on_plateau, step_decay


@given(st.integers(0, 1000))
def test_formulas(count):
    assert constant(0.3)(count) == 0.3
    assert step_decay(0.3, 0.1, 7)(count) == pytest.approx(0.3 * 0.1 ** math.floor(count / 7))
    assert exponential_decay(0.3, 0.01)(count) == pytest.approx(0.3 * math.exp(-0.01 * count))


@pytest.mark.parametrize("schedule", [constant(0.3), step_decay(0.3, 0.1, 3), exponential_decay(0.3, 0.2)])
def test_compiled(schedule):
    for count in range(8):
        assert jit(schedule)(np.int64(count)) == pytest.approx(float(schedule(count)), rel=1e-15)


def test_step_decay_falls_at_the_step_it_says():
    assert [float(step_decay(1.0, 0.5, 2)(t)) for t in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def scales(plateau, scores):
    state, found = plateau.init(), []
    for score in scores:
        state = plateau.update(state, score)
        found.append(state.scale)
    return found


def test_plateau_waits_then_reduces_then_waits_again():
    plateau = reduce_on_plateau(factor=0.5, patience=2)
    assert scales(plateau, [1, 2, 2, 1, 1, 1, 3, 3, 2]) == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_plateau_does_not_reduce_while_scores_rise_and_counts_nan_as_no_gain():
    assert scales(reduce_on_plateau(patience=1), range(10)) == [1.0] * 10
    assert scales(reduce_on_plateau(factor=0.5, patience=2), [1, np.nan, np.nan]) == [1, 1, 0.5]


def test_plateau_minimum():
    assert scales(reduce_on_plateau(factor=0.1, patience=1, minimum=0.05), [0] * 4) == [1, 0.1, 0.05, 0.05]


@pytest.mark.parametrize(
    "wrong", [{"factor": 1.0}, {"factor": 0.0}, {"patience": 0}, {"patience": 1.5}, {"minimum": -1}]
)
def test_plateau_mistakes(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        reduce_on_plateau(**wrong)
