"""The page of functions that can be traced is what the code says."""

from pathlib import Path

import numpy as np
import pytest

import fungrad as fg
from fungrad.errors import UnsupportedError
from tests.numpy.function_table import page

PAGE = Path(__file__).parents[2] / "docs" / "numpy.md"


def test_page_is_up_to_date():
    assert page() == PAGE.read_text(), "run: python -m tests.numpy.function_table > docs/numpy.md"


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.nanmax(x, initial=0.0),
        lambda x: np.percentile(x, 50, weights=np.ones(3), method="inverted_cdf"),
        lambda x: np.linalg.pinv(np.diag(x), hermitian=True),
        lambda x: np.pad(x, 1, mode="mean"),
        lambda x: np.gradient(x, edge_order=2),
        lambda x: np.cov(x, aweights=np.ones(3)),
    ],
)
def test_what_the_page_excludes_is_refused(f):
    with pytest.raises(UnsupportedError):
        fg.jit(f)(np.arange(3.0))
