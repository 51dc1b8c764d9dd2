"""The derivative rules of a kernel, as its user gives them: one for each operand, for one example.

jvp: rule(t, out, *operands)       what the tangent t of its operand adds to the tangent of the result
vjp: rule(ct, out, *operands)      the cotangent of its operand
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fungrad import tree
from fungrad.errors import KernelError, NotDifferentiableError
from fungrad.ir.primitive import Cotangent, Value
from fungrad.ir.types import ArrayType, type_of
from fungrad.primitives.convert import convert
from fungrad.primitives.create import full, zeros_like
from fungrad.regions.derived import chosen, spread_out
from fungrad.regions.inline import push_by_transposing
from fungrad.trace import user_line
from fungrad.transforms.jvp import filled
from fungrad.transforms.vjp import vjp

Rule = Callable[..., Any]


class _Transposing(threading.local):
    rules: tuple[Rules, ...] = ()


_TRANSPOSING = _Transposing()


@dataclass(frozen=True, eq=False, slots=True)
class Rules:
    """Rules for one mode or both. Of a kernel with `several` results, `out`, tangents and `ct` are tuples."""

    name: str
    jvp: Sequence[Rule | None] | None
    vjp: Sequence[Rule | None] | Rule | None

    def push(
        self, tangents: Sequence[Cotangent], inputs: Sequence[Value], outs: Sequence[Value], several: bool
    ) -> list[Any]:
        """The tangents of the results."""
        types = [type_of(x) for x in outs]
        if self.jvp is None:
            if self.vjp is None:
                raise self._missing()
            wanted = [t is not None for t in tangents]
            what = f"the kernel {self.name}"
            fix = "Give njit_primitive a jvp, which serves both modes."
            return push_by_transposing(
                lambda *cts: self.pull(cts, inputs, outs, wanted, several), types, tangents, what, fix
            )
        total: list[Any] = [None] * len(outs)
        for position, (rule, t) in enumerate(zip(self.jvp, tangents, strict=True)):
            if rule is not None and t is not None:
                out = tuple(outs) if several else outs[0]
                found = self._results(rule(t, out, *inputs), f"jvp rule for operand {position}", types, several)
                total = [a if b is None else b if a is None else a + b for a, b in zip(total, found, strict=True)]
        return total

    def pull(
        self,
        cts: Sequence[Cotangent],
        inputs: Sequence[Value],
        outs: Sequence[Value],
        wanted: Sequence[bool],
        several: bool,
    ) -> list[Any]:
        """The cotangents of the wanted inputs."""
        if self.vjp is None:
            if self.jvp is None:
                raise self._missing()
            if self in _TRANSPOSING.rules:
                raise NotDifferentiableError(
                    f"the jvp rule of the kernel {self.name} applies the kernel to the tangent, so it cannot be "
                    f"transposed without itself, at {user_line()}. Give njit_primitive a vjp too."
                )

            def pushed(*some: Any) -> list[Any]:
                return self.push(spread_out(some, wanted), inputs, outs, several)

            _, pullback = vjp(pushed, [zeros_like(x) for x in chosen(inputs, wanted)], self.name)
            before = _TRANSPOSING.rules
            _TRANSPOSING.rules = (*before, self)
            try:
                return spread_out(pullback(cts), wanted)
            finally:
                _TRANSPOSING.rules = before
        every_ct = filled(cts, outs)
        ct, out = (tuple(every_ct), tuple(outs)) if several else (every_ct[0], outs[0])
        types = [type_of(x) for x in inputs]
        if callable(self.vjp):
            every = self.vjp(ct, out, *inputs)
            if len(inputs) == 1 and not isinstance(every, tuple | list):
                every = (every,)
            if not isinstance(every, tuple | list) or len(every) != len(inputs):
                raise KernelError(
                    f"the vjp rule of the kernel {self.name} must return a tuple with a cotangent for each of its "
                    f"{len(inputs)} operands, None for zero, but returned {tree.structure(every)!r}."
                )
            found = list(every)
        else:
            found = [
                rule(ct, out, *inputs) if rule is not None and asked else None
                for rule, asked in zip(self.vjp, wanted, strict=True)
            ]
        return [
            self._value(c, f"vjp rule for operand {i}", t) if asked and c is not None else None
            for i, (c, t, asked) in enumerate(zip(found, types, wanted, strict=True))
        ]

    def pull_by_element(
        self, ct: Value, inputs: Sequence[Value], out: Value, wanted: Sequence[bool]
    ) -> list[Cotangent]:
        """The cotangents of the inputs of an elementwise kernel, whose partials serve both modes."""
        if self.jvp is None:
            raise self._missing()
        return [
            self._value(rule(ct, out, *inputs), f"jvp rule for operand {i}", type_of(x)) if rule and asked else None
            for i, (rule, x, asked) in enumerate(zip(self.jvp, inputs, wanted, strict=True))
        ]

    def _results(self, found: Any, what: str, types: Sequence[ArrayType], several: bool) -> list[Any]:
        """What a jvp rule gave, one value for each result."""
        parts = list(found) if several and isinstance(found, tuple | list) else [found]
        if len(parts) != len(types):
            raise KernelError(
                f"the {what} of the kernel {self.name} must return a tangent for each of {len(types)} results, but "
                f"returned {tree.structure(found)!r}."
            )
        return [None if x is None else self._value(x, what, t) for x, t in zip(parts, types, strict=True)]

    def _value(self, x: Any, what: str, type: ArrayType) -> Any:
        """A value that a rule gave, which must have the shape of what it belongs to."""
        value = full((), x, type.dtype) if isinstance(x, bool | int | float) else x
        if getattr(value, "shape", None) != type.shape:
            raise KernelError(
                f"the {what} of the kernel {self.name} must return {type}, but returned "
                f"{type_of(value) if hasattr(value, 'shape') else tree.structure(value)!r}."
            )
        return convert(value, type.dtype)

    def _missing(self) -> NotDifferentiableError:
        return NotDifferentiableError(
            f"the kernel {self.name} has no derivative rule, at {user_line()}. Give njit_primitive a jvp or a vjp, "
            "with None for operands in which the result counts as constant."
        )
