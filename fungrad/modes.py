"""Debugging modes of a thread: `debug_nans`, `checking_leaks`, `disable_jit`.

A mode is set by a call and stays set, or is set for a `with` block:

    fungrad.debug_nans()                 fungrad.debug_nans(False)
    with fungrad.debug_nans(): ...

Other threads are not concerned. Compiled functions ask for no mode when they are called: as long as some thread has one
set that concerns them, another method answers the calls.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, ClassVar

from fungrad.context import set_mode
from fungrad.jitted import look_at_each_call
from fungrad.leaks import check_leaks
from fungrad.nans import check_nans

_LOCK = Lock()
_active = 0  # modes that concern compiled functions, of all threads


class _Mode:
    """A setting of this thread; as a context manager, until the end of the block."""

    _name: ClassVar[str]
    _value: ClassVar[Any]
    _concerns_calls: ClassVar[bool] = True

    def __init__(self, on: bool = True) -> None:
        self._before = self._set(on)

    def __enter__(self) -> _Mode:
        return self

    def __exit__(self, *error: Any) -> None:
        self._set(self._before)

    def _set(self, on: bool) -> bool:
        """Whether it was on before."""
        global _active
        before = set_mode(self._name, type(self)._value if on else None) is not None
        if self._concerns_calls and on != before:
            with _LOCK:
                _active += 1 if on else -1
                look_at_each_call(_active > 0)
        return before


class debug_nans(_Mode):
    """Raise where the first nan comes from: in traced functions, in derivatives and in compiled functions.

    The error names the operation, your line and the numbers. Plain NumPy code outside of transformations is not
    watched; `np.seterr(invalid="raise")` does that. A compiled function whose result has a nan is run again, as NumPy
    code, to find the operation.

    Args:
        on: whether to switch it on, for this thread.

    Raises:
        NanError: in the block, where a nan comes up.

    >>> from fungrad import debug_nans, grad
    >>> def f(x):
    ...     return np.where(x > 0, np.sqrt(x), 0.0)
    >>> with np.errstate(all="ignore"), debug_nans():  # doctest: +ELLIPSIS
    ...     grad(f)(0.0)
    Traceback (most recent call last):
    fungrad.errors.NanError: nan came out of the derivative of sqrt at ...
    """

    _name = "nans"
    _value = staticmethod(check_nans)


class checking_leaks(_Mode):
    """Raise at the end of a transformation if somebody still holds a traced value of it, such as a list outside.

    Without it, such a value raises when it is used, which may be much later. Every trace is followed by a search
    through the memory of the process, so it is slow.

    Args:
        on: whether to switch it on, for this thread.

    Raises:
        LeakedTracerError: in the block, at the end of the transformation; it says where the value was made.

    >>> from fungrad import checking_leaks, grad
    >>> kept = []
    >>> with checking_leaks():  # doctest: +ELLIPSIS
    ...     grad(lambda x: kept.append(x * x) or x)(3.0)
    Traceback (most recent call last):
    fungrad.errors.LeakedTracerError: 1 traced value(s) outlive grad: f64[] made by mul at ...
    """

    _name = "leaks"
    _value = staticmethod(check_leaks)
    _concerns_calls = False


class disable_jit(_Mode):
    """Run compiled functions, and the loops and branches of `fungrad.lax`, step by step as the Python they are.

    So `print`, `breakpoint()` and Python's `if` work inside them and see numbers, as far as the transformations around
    them know numbers: `grad` does, `vmap` does not.

    Args:
        disable: whether to switch it on, for this thread.

    >>> from fungrad import disable_jit, jit
    >>> def f(x):
    ...     print("x is", x)
    ...     return 2 * x
    >>> with disable_jit():
    ...     jit(f)(3.0)
    x is 3.0
    6.0
    """

    _name = "stepwise"
    _value = True

    def __init__(self, disable: bool = True) -> None:
        super().__init__(disable)
