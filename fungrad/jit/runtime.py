"""A compiled graph as Python calls it: arrays in, fresh arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fungrad.compilation import Phases, log, origin_of
from fungrad.errors import CompileError, OutOfBoundsError
from fungrad.ir.graph import Graph
from fungrad.ir.types import ArrayType
from fungrad.jit.forks import LOCK
from fungrad.jit.loops import Program
from fungrad.jit.lower import lower
from fungrad.jit.python_call import NativeCall, Plan, layout_is_known, native, portable
from fungrad.passes import optimize

if TYPE_CHECKING:
    from fungrad.jit.compiler import Code


class Compiled:
    """A graph, optimized and lowered at once, compiled to machine code at the first call."""

    def __init__(self, graph: Graph, donated: Sequence[int] = (), threads: int | None = None) -> None:
        self.origin = origin_of(graph)
        self.phases = Phases(self.origin.seconds)
        self._threads = threads
        with self.phases.measure("passes"):
            self.graph = optimize(graph)
        with self.phases.measure("lowering"):
            self.program: Program = lower(self.graph, donated)
        self._types = [b.type for b in self.program.inputs]
        self._call: NativeCall | None = None
        self._code: Code | None = None

    def __call__(self, values: Sequence[Any]) -> Sequence[Any]:
        """The outputs for values of the graph's input types; 0-d ones are NumPy scalars."""
        if self._call is None:
            self._call = self.call([None] * len(self._types), [None] * len(self.program.outputs))
        outs = self._call(tuple(values))
        if outs is None:  # copies of what is not dense
            outs = self._call(tuple(map(dense, values, self._types)))
            if outs is None:
                raise CompileError(f"{self.program.name}: its arguments do not fit it")
        if type(outs) is not tuple:
            self.fail(outs)
        results: tuple[Any, ...] = outs
        return results

    def call(self, weak: Sequence[type | None], numbers: Sequence[type | None]) -> NativeCall:
        """A function of a tuple of inputs, as `python_call` says.

        Args:
            weak: for each input the type of Python number it is, or None for NumPy's arrays and scalars.
            numbers: for each output, the same.
        """
        code = self.code()
        with LOCK:
            from fungrad.jit.compiler import address_of_call
            from fungrad.jit.thread_pool import default_threads

        program = self.program
        plan = Plan(
            entry=code.address,
            inputs=list(zip(self._types, weak, strict=True)),
            outputs=[
                (b.type, number, program.inputs.index(b) if b in program.inputs else None)
                for b, number in zip(program.outputs, numbers, strict=True)
            ],
            constants=[b.value for b in program.constants],
            hosts=code.hosts,
            arena_bytes=code.arena_bytes,
            threads=self._threads or default_threads(),
            alive=code,
        )
        return native(plan, address_of_call()) if layout_is_known() else portable(plan)

    def code(self) -> Code:
        """The machine code, made at the first need."""
        with LOCK:  # compile once, also if several threads arrive together
            import logging  # noqa: F401  for `log`: first imported under the lock, see `forks`

            from fungrad.jit.compiler import code_of

            code, is_new = self._code, self._code is None
            if code is None:
                code = self._code = code_of(self.program, self.phases)
        if is_new:  # not under the lock: a fork first takes that of `logging`, then ours
            log(self.origin, {b.name: b.type for b in self.program.inputs}, self.phases, code.cached)
        return code

    @cached_property
    def dispatcher(self) -> Any:
        """The program as an njit function; made once, since Numba never frees machine code."""
        with LOCK:
            from fungrad.jit.native import compile_dispatcher
            from fungrad.jit.thread_pool import default_threads

        return compile_dispatcher(self.program, self._threads or default_threads())

    def fail(self, status: int) -> None:
        """Raise the error that a status stands for."""
        from fungrad.jit.emitter import OUT_OF_MEMORY, no_memory
        from fungrad.jit.host_calls import raise_error

        if status > 0:
            raise OutOfBoundsError(self.program.failures[status - 1])
        if status == OUT_OF_MEMORY:
            raise MemoryError(no_memory(self.program))
        raise_error()


def dense(value: Any, type: ArrayType) -> Any:
    """A copy as compiled code takes it: row-major, aligned, of the very dtype."""
    copy = np.empty(type.shape, type.dtype)
    copy[...] = value
    return copy
