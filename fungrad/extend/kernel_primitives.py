"""The primitives behind `njit_primitive`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from fungrad import tree
from fungrad.errors import KernelError, ShapeError
from fungrad.extend.kernel_call import Kernel, KernelCall, layout_of, lower_call
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType, array_type, type_of
from fungrad.jit.lower_table import STAGES
from fungrad.primitives.convert import convert
from fungrad.primitives.shape import repeated, reshape
from fungrad.regions.derived import Flags, chosen, spread_out
from fungrad.regions.examples import batched_function
from fungrad.regions.per_example import Examples
from fungrad.trace import bind


@dataclass(frozen=True, slots=True)
class ElementKernel(Primitive):
    """A kernel of numbers, applied to each element of operands of one shape."""

    kernel: Kernel = field(repr=False)

    @property
    def name(self) -> str:
        return self.kernel.name

    @lru_cache(maxsize=1024)  # noqa: B019  primitives are values
    def call(self, types: tuple[ArrayType, ...]) -> KernelCall:
        """The call for operands of these types."""
        numbers = tuple(array_type((), t.dtype) for t in types)
        shape = types[0].shape
        layout = layout_of(types[0].size, (), ())
        return KernelCall(self.kernel, numbers, self.kernel.results(numbers).types, shape, layout)

    def infer(self, *types: ArrayType) -> ArrayType:
        if any(t.shape != types[0].shape for t in types):
            raise ShapeError(f"{self.name}: operands {list(types)} must have one shape")
        return array_type(types[0].shape, self.call(types).results[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        call = self.call(tuple(map(type_of, arrays)))
        return call.evaluate(call.layout, *arrays)[0]

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Cotangent:
        return self.kernel.rules.push(tangents, inputs, [out], False)[0]

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        """The Jacobian is diagonal: each partial is its own transpose."""
        return self.kernel.rules.pull_by_element(ct, inputs, out, wanted)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(self, *repeated(size, inputs, batched))


@dataclass(frozen=True, slots=True)
class ArrayKernel(Primitive):
    """A kernel that fills arrays, applied to each example."""

    kernel: Kernel = field(repr=False)
    examples: Examples = field(default=Examples(), repr=False)

    multiple: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return self.kernel.name

    @lru_cache(maxsize=1024)  # noqa: B019  primitives are values
    def call(self, types: tuple[ArrayType, ...]) -> KernelCall:
        """The call for operands of these types."""
        examples = self.examples
        operands = tuple(examples.types_of_one(types))
        results = self.kernel.results(operands).types
        moving = [*(examples.has(i) for i in range(len(types))), *(True for _ in results)]
        every = (*operands, *results)
        steps = [t.nbytes if moves else 0 for t, moves in zip(every, moving, strict=True)]
        return KernelCall(self.kernel, operands, results, examples.axes, layout_of(examples.count, steps, every))

    def infer(self, *types: ArrayType) -> Any:
        call = self.call(types)
        return tuple(array_type((*call.axes, *t.shape), t.dtype) for t in call.results)

    def evaluate(self, *arrays: Any) -> Any:
        call = self.call(tuple(map(type_of, arrays)))
        return call.evaluate(call.layout, *arrays)

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Any:
        given = tuple(t is not None for t in tangents)
        several = self._several(inputs)
        present: Flags = ()

        def push(*values: Any) -> list[Any]:
            nonlocal present
            xs, outs, ts = values[: len(inputs)], values[len(inputs) : -sum(given)], values[-sum(given) :]
            found = self.kernel.rules.push(spread_out(ts, given), xs, outs, several)
            present = tuple(t is not None for t in found)
            return chosen(found, present)

        has = [self.examples.has(i) for i in range(len(inputs))]
        values = [*inputs, *out, *chosen(tangents, given)]
        found = self._each(push, values, [*has, *(True for _ in out), *chosen(has, given)])
        return spread_out(found, present)

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        given = tuple(c is not None for c in ct)
        several = self._several(inputs)
        present: Flags = ()

        def pull(*values: Any) -> list[Any]:
            nonlocal present
            xs, outs, cts = values[: len(inputs)], values[len(inputs) : -sum(given)], values[-sum(given) :]
            found = self.kernel.rules.pull(spread_out(cts, given), xs, outs, wanted, several)
            present = tuple(c is not None for c in found)
            return chosen(found, present)

        has = [self.examples.has(i) for i in range(len(inputs))]
        values = [*inputs, *out, *chosen(ct, given)]
        found = spread_out(self._each(pull, values, [*has, *(True for _ in values[len(has) :])]), present)
        axes = tuple(range(len(self.examples.axes)))
        return [c if c is None or own or not axes else np.sum(c, axis=axes) for c, own in zip(found, has, strict=True)]

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        if self.kernel.batch is None or self.examples.axes:
            examples, operands = self.examples.again(size, inputs, batched)
            return bind(replace(self, examples=examples), *operands)
        found = self.kernel.batch(size, tuple(inputs), tuple(batched))
        outs = tuple(found) if isinstance(found, tuple | list) else (found,)
        one = [array_type(x.shape[1:] if has else x.shape, x.dtype) for x, has in zip(inputs, batched, strict=True)]
        expected = [array_type((size, *t.shape), t.dtype) for t in self.kernel.results(tuple(one)).types]
        if [getattr(x, "shape", None) for x in outs] != [t.shape for t in expected]:
            raise KernelError(
                f"the batch rule of the kernel {self.name} must return {expected}, the results of {size} examples "
                f"along a leading axis, but returned {tree.structure(found)!r} of shapes "
                f"{[getattr(x, 'shape', None) for x in outs]}."
            )
        return tuple(convert(x, t.dtype) for x, t in zip(outs, expected, strict=True))

    def _several(self, inputs: Sequence[Value]) -> bool:
        types = self.examples.types_of_one([type_of(x) for x in inputs])
        return self.kernel.results(tuple(types)).several

    def _each(self, f: Callable[..., list[Any]], values: Sequence[Any], batched: Sequence[bool]) -> list[Any]:
        """The results of a flat function of one example, for all of them."""
        axes = self.examples.axes
        if not axes:
            return f(*values)
        flat = [
            reshape(x, (self.examples.count, *x.shape[len(axes) :])) if has else x
            for x, has in zip(values, batched, strict=True)
        ]
        found = batched_function(f, self.examples.count, batched)(*flat)
        return [reshape(x, (*axes, *x.shape[1:])) for x in found]


STAGES[ElementKernel] = STAGES[ArrayKernel] = lambda state, eqn: lower_call(
    state,
    eqn,
    eqn.op.call(tuple(x.type for x in eqn.inputs)),  # type: ignore[attr-defined]
)
