"""Which chunks of a shared loop touch the same memory: exact, where running threads show it by luck.

The printed source runs as plain Python, on arrays that note who reads and writes each of their elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fungrad.jit.emit_python import grown_tape, run_source
from fungrad.jit.loops import Program

_SHARED = re.compile(r" in (range\(.*\)):  # in any order, on any thread")
_SEVERAL = -1  # chunks


class RaceError(AssertionError):
    """Two chunks of one loop touch an element, and one of them writes."""


class Watch:
    """Who has touched which element in the shared loop that runs."""

    def __init__(self) -> None:
        self.elements = 0
        self.chunk: int | None = None
        self.shared = 0  # chunks that have run
        self.readers: dict[int, int] = {}
        self.writers: dict[int, int] = {}

    def in_any_order(self, chunks: range) -> Iterator[int]:
        """The chunks, the last one first."""
        self.readers, self.writers = {}, {}
        for self.chunk in reversed(chunks):
            self.shared += 1
            yield self.chunk
        self.chunk = None

    def array(self, values: Any) -> Watched:
        places = np.arange(self.elements, self.elements + values.size).reshape(values.shape)
        self.elements += values.size
        return Watched(self, values, places)

    def reads(self, places: Any) -> None:
        for place in np.ravel(places).tolist() if self.chunk is not None else ():
            self.readers[place] = self.chunk if self.readers.get(place, self.chunk) == self.chunk else _SEVERAL
            if self.writers.get(place, self.chunk) != self.chunk:
                raise RaceError(f"chunk {self.chunk} reads what chunk {self.writers[place]} writes")

    def writes(self, places: Any) -> None:
        for place in np.ravel(places).tolist() if self.chunk is not None else ():
            for others in (self.readers, self.writers):
                if others.setdefault(place, self.chunk) != self.chunk:
                    raise RaceError(f"chunk {self.chunk} writes what chunk {others[place]} touches")
            self.writers[place] = self.chunk


class Watched(np.lib.mixins.NDArrayOperatorsMixin):
    """An array each of whose elements has a place in memory, that of its memory in a view of it."""

    def __init__(self, watch: Watch, values: Any, places: Any) -> None:
        self.watch, self.values, self.places = watch, values, places

    def __getitem__(self, index: Any) -> Any:
        found, places = self.values[index], self.places[index]
        if isinstance(found, np.ndarray):
            return Watched(self.watch, found, places)
        self.watch.reads(places)
        return found

    def __setitem__(self, index: Any, value: Any) -> None:
        self.watch.writes(self.places[index])
        self.values[index] = read(value)

    def reshape(self, shape: Any) -> Watched:
        return Watched(self.watch, self.values.reshape(shape), self.places.reshape(shape))

    @property
    def mT(self) -> Watched:  # noqa: N802 -- the name of NumPy
        return Watched(self.watch, self.values.mT, self.places.mT)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **kwargs: Any) -> Any:
        inputs = tuple(read(x) for x in inputs)
        for x in out:
            self.watch.writes(x.places)
        if out:
            kwargs["out"] = tuple(x.values for x in out)
        return getattr(ufunc, method)(*inputs, **kwargs)


def read(x: Any) -> Any:
    """The values of an array, all of which are read."""
    if not isinstance(x, Watched):
        return x
    x.watch.reads(x.places)
    return x.values


class _WatchedNumpy:
    """NumPy, with empty arrays that are watched."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def empty(self, shape: Any, dtype: Any) -> Watched:
        return self.watch.array(np.empty(shape, dtype))

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def run_watched(program: Program, inputs: Sequence[Any]) -> tuple[list[Any], int]:
    """The outputs of a program, and how many chunks of shared loops ran, the last one of each loop first.

    Raises:
        RaceError: chunks are not independent.
    """
    watch = Watch()

    def host(position: int, *arrays: Any) -> Any:
        return program.hosts[position].op.evaluate(*map(read, arrays))

    def grown(tape: Any, rows: int) -> Watched:
        return watch.array(grown_tape(read(tape), rows))

    outputs = run_source(
        program,
        inputs,
        edit=lambda source: _SHARED.sub(r" in in_any_order(\1):", source),
        array=watch.array,
        np=_WatchedNumpy(watch),
        in_any_order=watch.in_any_order,
        host=host,
        grown=grown,
    )
    return [read(x) for x in outputs], watch.shared
