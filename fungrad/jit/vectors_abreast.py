"""How many vectors of numbers a loop works on at a time.

A function of a function is a long chain of steps each of which waits for the one before: a processor that looks some
hundred instructions ahead finds little else to do. With several vectors abreast there is other work next to each step.
It makes more code, which takes longer to compile: with four, nearly twice as long as with two. So it is done only where
it pays, and four are for long loops.
"""

from __future__ import annotations

from fungrad.jit.loops import Apply, Loop, int_value
from fungrad.jit.vectormath import FUNCTIONS
from fungrad.jit.walk import expressions_in

_SHORT = 64  # rounds, below which there is no use
_LONG = 4096  # rounds, from which four are worth their compile time
_LONG_WORK = 20_000  # nanoseconds, if the number of rounds is not known
_FUNCTIONS = dict.fromkeys(FUNCTIONS, 1) | {"pow": 2, "logaddexp": 2}  # those are a logarithm and an exponential


def vectors_abreast(loop: Loop, work: int) -> int | None:
    """The number for a loop whose rounds are independent, or None where LLVM may choose.

    Args:
        loop: the loop.
        work: nanoseconds of the longer loop of which it is a part, if it is one.
    """
    applied = [x.op for x in expressions_in(loop) if isinstance(x, Apply) and x.dtype.kind == "f"]
    if sum(_FUNCTIONS.get(op, 0) for op in applied) < 2:
        return None
    first, stop = int_value(loop.start), int_value(loop.stop)
    if first is None or stop is None:
        return 4 if work >= _LONG_WORK else 2
    return None if stop - first < _SHORT else 4 if stop - first >= _LONG else 2
