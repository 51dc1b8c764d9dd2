"""What transformed functions give back to users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fungrad.trace import fresh


def owned(found: Sequence[Any], others: Sequence[Any] = ()) -> list[Any]:
    """Results as users may keep and change them: NumPy scalars for 0-d, fresh writeable arrays otherwise."""
    seen = {id(x) for x in others}
    owned: list[Any] = []
    for x in found:
        if isinstance(x, np.ndarray):
            if x.ndim == 0:
                x = x[()]
            elif x.base is not None or not x.flags.writeable or id(x) in seen:
                x = x.copy()
            seen.add(id(x))
        owned.append(fresh(x))
    return owned
