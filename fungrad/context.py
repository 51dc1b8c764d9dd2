"""What a thread is doing: the traces it is in, its debugging modes, and where the user's code is."""

from __future__ import annotations

import functools
import importlib.util
import linecache
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, TracebackType
from typing import Any

from fungrad.ir.graph import NOWHERE, Where

_SPECS = (importlib.util.find_spec(name) for name in ("fungrad", "numpy", "scipy", "numba"))
_PACKAGES = tuple(os.path.dirname(spec.origin) + os.sep for spec in _SPECS if spec and spec.origin)
_INTERNAL = (*_PACKAGES, functools.__file__)

LONGEST = 120  # characters of a line that errors show


class _InternalFiles(dict[str, bool]):
    """Whether a file is part of fungrad, NumPy, SciPy or Numba (or functools), remembered for each name."""

    def __missing__(self, file: str) -> bool:
        internal = file.startswith(_INTERNAL)
        self[file] = internal
        return internal


INTERNAL_FILES = _InternalFiles()


class State(threading.local):
    """What this thread is doing."""

    site: Any = None  # overrides the caller's, if set
    programs: int = 0  # how many of its live traces record a whole program
    innermost: Any = None  # the innermost live trace
    quiet: bool = False  # whether operations with an effect are left out
    branch: Any = None  # the innermost live trace that also takes operations on outer tracers
    stepwise: Any = None  # not None: compiled functions and loops run as plain Python (`modes.disable_jit`)
    nans: Any = None  # what looks for nan in results, called as `nans.check_nans` (`modes.debug_nans`)
    leaks: Any = None  # what looks for tracers that outlive a trace, `leaks.check_leaks` (`modes.checking_leaks`)


STATE = State()


def user_site() -> Any:
    """The innermost frame outside those packages, cheaply; `resolve_site` makes it readable."""
    if STATE.site is not None:
        return STATE.site
    frame = sys._getframe(2)
    while INTERNAL_FILES[frame.f_code.co_filename]:
        back = frame.f_back
        if back is None:
            return NOWHERE
        frame = back
    return frame.f_code, frame.f_lasti


def resolve_site(site: Any) -> Where:
    """The file and line of a recorded site."""
    if isinstance(site, Where):
        return site
    code, instruction = site
    return Where(code.co_filename, _line_of(code, instruction))


def _line_of(code: CodeType, instruction: int) -> int:
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return line
    return code.co_firstlineno


def user_line() -> str:
    """The user's current position with the text of the line, for error messages."""
    return _with_text(resolve_site(user_site()))


def line_in(traceback: TracebackType | None) -> str:
    """The user's innermost line that an error came through."""
    found = NOWHERE
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not INTERNAL_FILES[file]:
            found = Where(file, traceback.tb_lineno)
        traceback = traceback.tb_next
    return _with_text(found)


def _with_text(where: Where) -> str:
    text = linecache.getline(where.file, where.line).strip()
    text = text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
    return f"{where}: {text}" if text else str(where)


@contextmanager
def attributed_to(site: Any) -> Iterator[State]:
    """Within this block operations are recorded as if the user had written them at `site`.

    Gives the state, so that a walk can change its `site` from step to step.
    """
    before, STATE.site = STATE.site, site
    try:
        yield STATE
    finally:
        STATE.site = before


def set_mode(name: str, value: Any) -> Any:
    """Set a debugging mode of this thread; gives what it was before."""
    before = getattr(STATE, name)
    setattr(STATE, name, value)
    return before


def finding_nans() -> bool:
    """Whether this thread looks for nan in results."""
    return STATE.nans is not None


def stepwise() -> bool:
    """Whether this thread runs compiled functions and loops as plain Python."""
    return STATE.stepwise is not None
