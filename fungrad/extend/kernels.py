"""`njit_primitive`: a user's njit kernel as a function that can be traced, differentiated, batched and compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad.arguments import as_leaf, check_callable, function_name
from fungrad.errors import ArgumentError, KernelError, ShapeError
from fungrad.extend.binding import bind_values
from fungrad.extend.kernel_call import Kernel
from fungrad.extend.kernel_primitives import ArrayKernel, ElementKernel
from fungrad.extend.rules import Rule, Rules
from fungrad.primitives.convert import convert
from fungrad.primitives.shape import broadcast


def njit_primitive(
    kernel: Callable[..., Any],
    out: Callable[..., Any] | None = None,
    *,
    jvp: Rule | Sequence[Rule | None] | None = None,
    vjp: Rule | Sequence[Rule | None] | None = None,
    batch: Callable[..., Any] | None = None,
) -> NjitPrimitive:
    """A function of arrays from an `@numba.njit` kernel, which compiled code calls natively: without Python or the GIL.

    It may be used wherever NumPy functions may: under every transformation, in the loops of `fungrad.lax`, and in
    what `jit(f).dispatcher` gives to your own njit code.

    Args:
        kernel: without `out`, a function of numbers that returns a number; it is applied to each element of operands
            that broadcast. With `out`, a function of arrays, and of numbers where an operand is 0-d, that fills the
            arrays which follow its operands: `kernel(x, y, result)`. Arrays are dense. Operands are not written to.
        out: `out(*types)` gives the type of the result, or a tuple of them, from the types of the operands, which have
            `shape` and `dtype`: one of them, or `array_type(shape, dtype)`.
        jvp: for each operand `rule(t, out, *operands)`: what the tangent `t` of that operand adds to the tangent of the
            result `out`, in NumPy code and other primitives; None where the result is constant in the operand. A
            lone function serves a kernel of one operand. Reverse mode transposes the rules.
        vjp: for each operand `rule(ct, out, *operands)`: its cotangent, from the cotangent of the result; or one
            function that returns a tuple of all of them. Forward mode transposes the rules if they are linear in `ct`,
            unless `jvp` is given too. With several results, `out`, `ct` and tangents are tuples.
        batch: `batch(size, operands, batched)`: the results of `size` examples along a leading axis, which operands
            have where `batched` says so. Without it, compiled code loops over the examples.

    Returns:
        The function. It has the name of the kernel, takes arrays by position and returns new ones.

    Raises:
        KernelError: Numba cannot compile the kernel for the operands, the kernel writes to them, or a rule gives
            something of another shape.
        NotDifferentiableError: a derivative is asked for and no rule is given.

    >>> import numba
    >>> from fungrad import grad, jit
    >>> from fungrad.extend import njit_primitive
    >>> @numba.njit
    ... def running_sum(x, result):
    ...     total = 0.0
    ...     for i in range(x.size):
    ...         total += x[i]
    ...         result[i] = total
    >>> cumulative = njit_primitive(
    ...     running_sum, out=lambda x: x, vjp=lambda ct, out, x: cumulative(ct[::-1])[::-1]
    ... )
    >>> cumulative(np.array([1.0, 2.0, 3.0]))
    array([1., 3., 6.])
    >>> jit(grad(lambda x: np.sum(cumulative(x) ** 2)))(np.array([1.0, 2.0, 3.0]))
    array([20., 18., 12.])
    """
    check_callable("njit_primitive", kernel)
    if not _is_njit(kernel):
        raise ArgumentError(
            f"njit_primitive takes a function decorated with @numba.njit, got {function_name(kernel)}, which is a "
            f"{type(kernel).__name__}."
        )
    if out is not None:
        check_callable("njit_primitive: out", out)
    elif vjp is not None or batch is not None:
        raise ArgumentError(
            "njit_primitive: a kernel of numbers takes jvp alone: its rules serve both modes, and its batch is a loop. "
            "A kernel of arrays needs out."
        )
    name = function_name(kernel)
    pushes = None if jvp is None else (jvp,) if callable(jvp) else tuple(jvp)
    pulls = vjp if vjp is None or callable(vjp) else tuple(vjp)
    return NjitPrimitive(Kernel(kernel, out, Rules(name, pushes, pulls), batch))


class NjitPrimitive:
    """A kernel as a function of arrays; see `njit_primitive`."""

    def __init__(self, kernel: Kernel) -> None:
        functools.update_wrapper(self, kernel.function.py_func, updated=())
        self._kernel = kernel

    def __call__(self, *args: Any) -> Any:
        kernel = self._kernel
        if kernel.out is None and len(args) != kernel.parameters:
            raise KernelError(
                f"the kernel {kernel.name} takes {kernel.parameters} number(s), got {len(args)} operand(s)."
            )
        leaves = [as_leaf(x, f"argument {i} of {kernel.name}") for i, x in enumerate(args)]
        for what, rules in (("jvp", kernel.rules.jvp), ("vjp", kernel.rules.vjp)):
            if isinstance(rules, tuple) and len(rules) != len(args):
                raise KernelError(
                    f"the kernel {kernel.name} was called with {len(args)} operand(s), but has {len(rules)} rule(s) in "
                    f"{what}: one for each operand."
                )
        if kernel.out is None:
            return bind_values(ElementKernel(kernel), self._elements(leaves))[0]
        values = [x for x, _ in leaves]
        found = bind_values(ArrayKernel(kernel), values)
        return tuple(found) if kernel.gives_tuple(values) else found[0]

    def _elements(self, leaves: Sequence[tuple[Any, bool]]) -> list[Any]:
        """Operands of one shape; Python floats take the dtype of the floats they meet."""
        kernel = self._kernel
        try:
            shape = np.broadcast_shapes(*(x.shape for x, _ in leaves))
        except ValueError:
            shown = " and ".join(str(x.shape) for x, _ in leaves)
            raise ShapeError(f"{kernel.name}: operands of shapes {shown} do not broadcast together.") from None
        floats = [x.dtype for x, weak in leaves if not weak and x.dtype.kind == "f"]
        strong = np.result_type(*floats) if floats else np.dtype(np.float64)
        cast = [convert(x, strong) if weak and x.dtype.kind == "f" else x for x, weak in leaves]
        return [broadcast(x, shape) for x in cast]

    def __repr__(self) -> str:
        return f"<njit_primitive of {self._kernel.name}>"


def _is_njit(kernel: Any) -> bool:
    """Whether it is what `numba.njit` returns."""
    from numba.core.dispatcher import Dispatcher

    return isinstance(kernel, Dispatcher)
