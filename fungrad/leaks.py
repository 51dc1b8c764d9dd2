"""The search for tracers that outlive their trace: what `checking_leaks` has each trace call at its end."""

from __future__ import annotations

import gc

from fungrad.errors import LeakedTracerError
from fungrad.trace import Trace, Tracer, resolve_site


def check_leaks(level: Trace) -> None:
    """Raise LeakedTracerError if somebody still holds a tracer of a trace that has ended."""
    if not _tracers(level):
        return
    gc.collect()  # what only cycles hold is not held
    left = _tracers(level)
    if left:
        raise LeakedTracerError(
            f"{len(left)} traced value(s) outlive {level.purpose}: {'; '.join(_origin(level, x) for x in left[:3])}. "
            "Somebody keeps them, for example in a global, an attribute or a list outside the function. Return them "
            "from the function instead."
        )


def _tracers(level: Trace) -> list[Tracer]:
    return [x for x in gc.get_referrers(level) if type(x) is Tracer]


def _origin(level: Trace, tracer: Tracer) -> str:
    """Where a tracer was made."""
    for op, _, _, out, _, site in level.records:
        if tracer.operand is out or (op.multiple and any(tracer.operand is var for var in out)):
            return f"{tracer.type} made by {op.name} at {resolve_site(site)}"
    return f"{tracer.type}, an argument of the function"
