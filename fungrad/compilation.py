"""What is known of a compilation: why it happened, how long its phases took, and the log of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary


class Phases(dict[str, float]):
    """Seconds by phase, in the order in which they began; prints as milliseconds."""

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Add the time that this block takes to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self[phase] = self.get(phase, 0.0) + time.perf_counter() - start

    def __str__(self) -> str:
        return ", ".join(f"{phase} {1e3 * seconds:.1f}" for phase, seconds in self.items())

    @property
    def total(self) -> str:
        """All of them together, as people read it."""
        return f"{1e3 * sum(self.values()):.1f} ms"


class Origin(NamedTuple):
    """Where a graph that is compiled comes from.

    - name: what the user calls the function, with its place.
    - reason: why it is compiled.
    - seconds: how long it took to trace.
    """

    name: str
    reason: str
    seconds: Phases


_ORIGINS: WeakKeyDictionary[Any, Origin] = WeakKeyDictionary()  # by graph


def remember_origin(graph: Any, origin: Origin) -> None:
    """Say where a graph comes from, before it is compiled."""
    _ORIGINS[graph] = origin


def origin_of(graph: Any) -> Origin:
    """Where a graph comes from. Graphs that nobody traced for a call are derived from compiled ones."""
    found = _ORIGINS.get(graph)
    return found or Origin(graph.name, "first use of this derivative or batch of a compiled function", Phases())


class log_compiles:
    """Log each compilation from now on: what is compiled, for which types, how long it took, and why.

    The messages go to the logger `fungrad`, as warnings, so that they are seen where logging is not set up. (Without
    the switch they are there too, at level DEBUG.) The reason tells what differs from the earlier calls: a shape, a
    dtype, a structure, a static argument; or that `jit` was applied anew to a function it knows, as in a loop.

    Args:
        on: whether to log. It holds for the whole process, at once; as a context manager, until the end of the block.

    >>> import fungrad as fg
    >>> f = fg.jit(lambda x: x + 1)
    >>> with log_compiles():
    ...     y = f(2.0)  # logs that the lambda is compiled for x: f64[], in how many milliseconds, at its first call
    >>> log_compiles(False)
    <log_compiles: off>
    """

    _on = False

    def __init__(self, on: bool = True) -> None:
        self._before = log_compiles._on
        self._wanted = log_compiles._on = bool(on)

    def __enter__(self) -> log_compiles:
        log_compiles._on = self._wanted
        return self

    def __exit__(self, *_: object) -> None:
        log_compiles._on = self._before

    def __repr__(self) -> str:
        return f"<log_compiles: {'on' if log_compiles._on else 'off'}>"


def log(origin: Origin, arguments: Mapping[str, Any], seconds: Phases, cached: bool) -> None:
    """Log one compilation, if anybody wants to know."""
    import logging  # here, since `import fungrad` should not pay for it

    logger = logging.getLogger("fungrad")
    level = logging.WARNING if log_compiles._on else logging.DEBUG
    if logger.isEnabledFor(level):
        shown = [f"{name}: {type}" for name, type in arguments.items()]
        if len(shown) > 8:
            shown[6:] = [f"and {len(shown) - 6} more"]
        logger.log(
            level,
            "%s %s for (%s) in %s (%s): %s",
            "found in the disk cache" if cached else "compiled",
            origin.name,
            ", ".join(shown),
            seconds.total,
            seconds,
            origin.reason,
        )
