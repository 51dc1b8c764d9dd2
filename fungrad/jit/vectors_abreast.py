"""How many vectors of numbers a loop works on at a time.

A function of a function is a long chain of steps each of which waits for the one before: a processor that looks some
hundred instructions ahead finds little else to do. With several vectors abreast there is other work next to each step.
It makes more code, which takes longer to compile, so it is done only where it pays.
"""

from __future__ import annotations

from fungrad.jit.loops import Apply, Loop, int_value
from fungrad.jit.vectormath import FUNCTIONS
from fungrad.jit.walk import expressions_in

_ABREAST = 4
_SHORT = 64  # rounds, below which there is no use
_FUNCTIONS = dict.fromkeys(FUNCTIONS, 1) | {"pow": 2, "logaddexp": 2}  # those are a logarithm and an exponential


def vectors_abreast(loop: Loop) -> int | None:
    """The number for a loop whose rounds are independent, or None where LLVM may choose."""
    first, stop = int_value(loop.start), int_value(loop.stop)
    if first is not None and stop is not None and stop - first < _SHORT:
        return None
    applied = [x.op for x in expressions_in(loop) if isinstance(x, Apply) and x.dtype.kind == "f"]
    return _ABREAST if sum(_FUNCTIONS.get(op, 0) for op in applied) >= 2 else None
