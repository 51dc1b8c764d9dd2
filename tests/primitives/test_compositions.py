"""Every primitive under every composition of transformations: 50 examples of each, and 1,000 behind the marker."""

from functools import partial

import numpy as np
import pytest

from fungrad.testing import check_compositions
from fungrad.trace import bind
from tests.support.examples import EXAMPLES, application_with_elements, redrawn, smooth_part
from tests.support.several_results import SEVERAL_RESULTS

EXAMPLES_OF_A_SHAPE = 50
SHAPES = 20  # of the long test


def check(name, seed):
    """All compositions of one drawn application, at 50 draws of its operands."""
    rng = np.random.default_rng(seed)
    if name in SEVERAL_RESULTS:
        options = SEVERAL_RESULTS[name](np.float64)
        example = options[rng.integers(len(options))]
        op, rows = example.op, [example.drawn(rng, np.float64) for _ in range(EXAMPLES_OF_A_SHAPE)]
    else:
        application = application_with_elements(name, seed)
        op, rows = application.op, [redrawn(application, rng) for _ in range(EXAMPLES_OF_A_SHAPE)]
    check_compositions(partial(bind, op), [tuple(row) for row in rows], smooth_part(op), seed)


@pytest.mark.parametrize("name", [*EXAMPLES, *SEVERAL_RESULTS])
def test_compositions(name):
    check(name, 0)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", [*EXAMPLES, *SEVERAL_RESULTS])
def test_compositions_of_many_shapes(name):
    for seed in range(1, SHAPES + 1):
        check(name, seed)
