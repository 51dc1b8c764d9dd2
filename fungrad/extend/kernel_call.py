"""What is known of a kernel, and a call of it by its address."""

from __future__ import annotations

import ctypes
import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fungrad.errors import KernelError
from fungrad.extend.rules import Rules
from fungrad.ir.graph import Const, Equation
from fungrad.ir.types import ArrayType, array_type, type_of
from fungrad.jit.host_calls import Foreign, take_error
from fungrad.jit.loops import Host
from fungrad.jit.lower import Lowering


class Results(NamedTuple):
    """What a kernel gives: the types, and whether they come as a tuple."""

    types: tuple[ArrayType, ...]
    several: bool


class Kernel:
    """What a user said of a kernel. Primitives that hold one compare by its identity.

    Attributes:
        function: njit. If `out` is None it takes and returns numbers and is applied to each element.
        out: from the types of the operands, those of the results.
        rules: for derivatives.
        batch: the batch rule, or None.
    """

    def __init__(self, function: Any, out: Any, rules: Rules, batch: Any) -> None:
        self.function = function
        self.name = rules.name
        self.out = out
        self.rules = rules
        self.batch = batch
        self.parameters = len(inspect.signature(function.py_func).parameters)
        self.results = functools.lru_cache(maxsize=1024)(self._results)

    def _results(self, types: tuple[ArrayType, ...]) -> Results:
        """The results for operands of one example; of numbers, for one element."""
        if self.out is None:
            from fungrad.extend import native

            return Results((native.result_type(self.name, self.function, [t.dtype for t in types]),), False)
        try:
            inspect.signature(self.out).bind(*types)
        except TypeError as error:
            raise KernelError(
                f"the kernel {self.name} was called with {len(types)} operand(s), which its `out` does not take: "
                f"{error}."
            ) from None
        given = self.out(*types)
        several = isinstance(given, tuple | list)
        found = given if several else (given,)
        if not found or not all(hasattr(t, "shape") and hasattr(t, "dtype") for t in found):
            raise KernelError(
                f"out of the kernel {self.name} must give a type with a shape and a dtype, such as one of its "
                f"arguments or extend.array_type(shape, dtype), or a tuple of them, but gave {given!r}."
            )
        if len(types) + len(found) != self.parameters:
            raise KernelError(
                f"the kernel {self.name} has {self.parameters} parameter(s), but was called with {len(types)} "
                f"operand(s) and is to fill {len(found)} result(s), as `out` says."
            )
        return Results(tuple(array_type(tuple(t.shape), np.dtype(t.dtype)) for t in found), several)

    def gives_tuple(self, values: Sequence[Any]) -> bool:
        """Whether the results for operands of one example come as a tuple."""
        return self.results(tuple(map(type_of, values))).several


@dataclass(frozen=True, slots=True)
class KernelCall(Foreign):
    """A call of a kernel's C function; the first operand is the layout, see `native`.

    Attributes:
        operands: the types of one example's, or element's, operands.
        results: of its results.
        axes: that count the examples.
    """

    kernel: Kernel = field(repr=False)
    operands: tuple[ArrayType, ...]
    results: tuple[ArrayType, ...]
    axes: tuple[int, ...]
    layout: Any = field(compare=False, repr=False)

    multiple: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return self.kernel.name

    @functools.lru_cache(maxsize=1024)  # noqa: B019  calls are values
    def c_function(self) -> Any:
        from fungrad.extend import native

        operands, results = ([(t.dtype, t.ndim) for t in types] for types in (self.operands, self.results))
        return native.c_function(self.name, self.kernel.function, operands, results, self.kernel.out is None)

    def evaluate(self, *arrays: Any) -> Any:
        layout, *operands = arrays
        inputs = [np.ascontiguousarray(x) for x in operands]
        outs = [np.empty((*self.axes, *t.shape), t.dtype) for t in self.results]
        table = [x.ctypes.data for x in (layout, *inputs, *outs)]
        if self.c_function()((ctypes.c_int64 * len(table))(*table)):
            raise take_error() or KernelError(f"the kernel {self.name} raised an error")
        return tuple([x if x.ndim else x[()] for x in outs])


def lower_call(state: Lowering, eqn: Equation, call: KernelCall) -> None:
    """Lower an equation to a call of the C function."""
    layout = state.constant(Const(call.layout))
    inputs = (layout, *map(state.buffer, eqn.inputs))
    state.note(eqn)
    outputs = tuple(state.memory(var) for var in eqn.outputs)
    hosts = state.whole.hosts
    hosts.append(Host(call, inputs, outputs, len(hosts), eqn.where))
    state.statements.append(hosts[-1])


def layout_of(count: int, steps: Sequence[int], types: Sequence[ArrayType]) -> Any:
    """A layout: the number of examples, the bytes from one to the next, the extents of each operand and result."""
    return np.array([count, *steps, *(n for t in types for n in t.shape)], np.int64)
