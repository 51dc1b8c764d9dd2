"""A compiled graph as Python calls it: dense arrays in, fresh arrays out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from fungrad.errors import OutOfBoundsError
from fungrad.ir.graph import Graph
from fungrad.jit.loops import Program
from fungrad.jit.lower import lower
from fungrad.passes import optimize


class Compiled:
    """A graph, optimized and lowered at once, compiled to machine code at the first call."""

    def __init__(self, graph: Graph) -> None:
        self.graph = optimize(graph)
        self.program: Program = lower(self.graph)
        self._outputs = [b.type for b in self.program.outputs]
        self._constants = [b.value for b in self.program.constants]
        self._native: Callable[..., int] | None = None
        self._lock = threading.Lock()
        self._arenas: list[Any] = []  # free ones; a call takes one and puts it back
        self._arena_size = 0

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """The outputs for values of the graph's input types; 0-d ones are NumPy scalars."""
        native = self._native or self._compile()
        arrays = [_dense(value) for value in values]
        outputs = [np.empty(type.shape, type.dtype) for type in self._outputs]
        try:
            arena = self._arenas.pop()
        except IndexError:
            arena = np.empty(self._arena_size, np.uint8)
        status = native(*arrays, *self._constants, *outputs, arena)
        self._arenas.append(arena)
        if status:
            self._fail(status)
        return [x if x.ndim else x[()] for x in outputs]

    @cached_property
    def dispatcher(self) -> Any:
        """The program as an njit function; made once, since machine code is never freed."""
        from fungrad.jit.native import compile_dispatcher

        return compile_dispatcher(self.program)

    def _compile(self) -> Callable[..., int]:
        """Compile once, also if several threads arrive together."""
        from fungrad.jit.memory_plan import arena_layout
        from fungrad.jit.native import compile_native

        with self._lock:
            if self._native is None:
                self._arena_size = arena_layout(self.program)[1]
                self._native = compile_native(self.program)
            return self._native

    def _fail(self, status: int) -> None:
        from fungrad.jit.host_calls import take_error

        if status > 0:
            raise OutOfBoundsError(self.program.failures[status - 1])
        error = take_error()
        raise error if error is not None else RuntimeError(f"{self.program.name}: a call to NumPy failed")


def _dense(value: Any) -> Any:
    """An array as compiled code takes it: row-major, aligned, writeable; a copy if it is not."""
    if type(value) is np.ndarray:
        flags = value.flags
        if flags.c_contiguous and flags.writeable and flags.aligned:
            return value
        return np.array(value, order="C")
    return np.array(value)
