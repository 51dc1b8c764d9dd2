"""JAX in double precision, where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fungrad import tree


@pytest.fixture(scope="module")
def jax() -> Iterator[Any]:
    module = pytest.importorskip("jax")
    before = module.config.jax_enable_x64
    module.config.update("jax_enable_x64", True)
    yield module
    module.config.update("jax_enable_x64", before)


def check_equal(ours: Any, theirs: Any, rtol: float = 1e-10) -> None:
    """The same trees of arrays, to `rtol` of the largest element of each."""
    for a, b in zip(tree.leaves(ours), tree.leaves(tree.map(np.asarray, theirs)), strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.max(np.abs(b), initial=1e-300))
