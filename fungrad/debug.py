"""Looking inside traced and compiled code while it runs: `print` and `callback`, named as in JAX.

Both are written inside a function like any other line, and happen where and whenever that line is executed: once for
each step of a loop, for each example under `vmap`, in the branch that is taken, in compiled code too. They happen in
the order in which they are written. A backward pass does not repeat what happened in the forward pass.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from fungrad import tree
from fungrad.arguments import as_leaf, check_callable, function_name
from fungrad.errors import ArgumentError
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType
from fungrad.numpy.promotion import frozen
from fungrad.regions.per_example import Examples
from fungrad.trace import Tracer, bind


def print(fmt: str, *args: Any, **kwargs: Any) -> None:
    """Print values while a function runs, compiled or not.

    Args:
        fmt: a text with fields as `str.format` takes them.
        args: what the fields `{}` or `{0}` stand for: pytrees of arrays, traced or not, and anything else.
        kwargs: what the fields `{name}` stand for.

    Raises:
        ArgumentError: the text has a field that nothing is given for.

    >>> from fungrad import debug, grad, jit
    >>> def f(x):
    ...     y = np.sin(x)
    ...     debug.print("x = {}, sin(x) = {y:.3f}", x, y=y)
    ...     return y * y
    >>> float(jit(grad(f))(0.0))
    x = 0.0, sin(x) = 0.000
    0.0
    """
    if not isinstance(fmt, str):
        raise ArgumentError(
            f"debug.print takes a text with fields first, got {type(fmt).__name__}. Write debug.print('{{}}', x)."
        )

    def show(*values: Any, **named: Any) -> None:
        builtins.print(fmt.format(*values, **named))

    try:
        fmt.format(*args, **kwargs)
    except (KeyError, IndexError) as error:
        raise ArgumentError(f"debug.print: {fmt!r} has a field that no argument is given for: {error}.") from None
    except (TypeError, ValueError):
        pass  # a format for numbers, which a traced value is not yet
    _call_back("print", show, args, kwargs)


def callback(callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Call a Python function with values while a function runs, compiled or not.

    Args:
        callback: what to call. What it returns is dropped; what it raises ends the computation.
        args: its arguments, pytrees of arrays, traced or not; it receives arrays of its own and NumPy scalars.
        kwargs: its arguments by name.

    >>> from fungrad import debug, jit, lax
    >>> seen = []
    >>> def step(total, x):
    ...     debug.callback(seen.append, total)
    ...     return total + x, None
    >>> _ = jit(lambda xs: lax.scan(step, 0.0, xs))(np.array([1.0, 2.0, 3.0]))
    >>> [float(total) for total in seen]
    [0.0, 1.0, 3.0]
    """
    check_callable("debug.callback", callback)
    _call_back(function_name(callback), callback, args, kwargs)


def _call_back(label: str, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Bind a call: arrays among the leaves of the arguments are operands, all else is passed as it is."""
    leaves, structure = tree.flatten((args, kwargs))
    places = [i for i, x in enumerate(leaves) if isinstance(x, Tracer | np.ndarray | np.generic)]
    values = [as_leaf(leaves[i], f"debug.{label}: an argument")[0] for i in places]
    fixed = [None if i in places else x for i, x in enumerate(leaves)]

    def flat(*operands: Any) -> None:
        own = list(fixed)
        for i, x in zip(places, operands, strict=True):
            own[i] = x
        given, named = tree.unflatten(structure, own)
        function(*given, **named)

    bind(Callback(flat, label), *(frozen(x) if type(x) is np.ndarray else x for x in values))


@dataclass(frozen=True, slots=True)
class Callback(Primitive):
    """Call a function of flat arrays, which gives no results."""

    function: Callable[..., None] = field(repr=False)
    label: str = field(repr=False)
    examples: Examples = field(default=Examples(), repr=False)

    multiple: ClassVar[bool] = True
    effect: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return f"debug_{self.label}"

    def infer(self, *types: ArrayType) -> Any:
        return ()

    def evaluate(self, *arrays: Any) -> Any:
        for _, operands in self.examples.one_by_one(arrays):
            self.function(*(np.array(x) if x.ndim else x for x in operands))
        return ()

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Any:
        return ()

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        return [None] * len(inputs)

    def linear_in(self, operands: Sequence[bool]) -> bool:
        return True

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        examples, operands = self.examples.again(size, inputs, batched)
        return bind(replace(self, examples=examples), *operands)
