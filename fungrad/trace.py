"""Recording: `Tracer`, `Trace` and `bind`, the one door every operation goes through.

There is one kind of tracer. A `Trace` is one level of transformation; transformations nest, and an operation is recorded
by the deepest level among its operands. Each tracer stands for a `Var` of its trace and, in a *concrete* trace, also
carries the value one level further out: an ndarray, or a tracer of an enclosing trace. Then the function really runs
while it is recorded, which is why Python `if` works under `grad`. In an *abstract* trace (`jit`, `make_graph`) only
types are known.

What a trace records is a list of `Record`s, a tape. `Trace.graph` turns the tape into an immutable `Graph`.
"""

from __future__ import annotations

import linecache
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from fungrad.errors import ConcretizationError, LeakedTracerError
from fungrad.ir.graph import NOWHERE, Const, Equation, Graph, Operand, Var, Where, constant
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import ArrayType, DType, type_of

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Record(NamedTuple):
    """One operation on the tape of a trace."""

    op: Primitive
    operands: tuple[Any, ...]  # Var of this trace, or the value itself: ndarray, scalar, outer tracer
    values: tuple[Any, ...]  # the operands one level out; () in an abstract trace
    out: Any  # a Var, or a tuple of Vars if op.multiple
    out_value: Any  # the result one level out; None in an abstract trace
    site: Any  # where the user wrote it: (code, instruction), or a Where


# -- where the user's code is --------------------------------------------------------------------------------------


class _InternalFiles(dict[str, bool]):
    """Whether a file is part of fungrad or NumPy, remembered for each name."""

    def __missing__(self, file: str) -> bool:
        internal = file.startswith(_PACKAGE) or (os.sep + "numpy" + os.sep) in file
        self[file] = internal
        return internal


_INTERNAL = _InternalFiles()


class _State(threading.local):
    """What is live in this thread: how deep traces nest, and a site that overrides the caller's."""

    depth = 0
    site: Any = None


_STATE = _State()


def _user_site() -> Any:
    """The innermost frame outside fungrad and NumPy, cheaply; `resolve_site` makes it readable."""
    if _STATE.site is not None:
        return _STATE.site
    frame = sys._getframe(2)
    while _INTERNAL[frame.f_code.co_filename]:
        back = frame.f_back
        if back is None:
            return NOWHERE
        frame = back
    return frame.f_code, frame.f_lasti


def resolve_site(site: Any) -> Where:
    """The file and line of a recorded site."""
    if isinstance(site, Where):
        return site
    code, instruction = site
    return Where(code.co_filename, _line_of(code, instruction))


def _line_of(code: CodeType, instruction: int) -> int:
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return line
    return code.co_firstlineno


def user_line() -> str:
    """The user's current position with the text of the line, for error messages."""
    where = resolve_site(_user_site())
    text = linecache.getline(where.file, where.line).strip()
    return f"{where}: {text}" if text else str(where)


@contextmanager
def attributed_to(site: Any) -> Iterator[None]:
    """Within this block operations are recorded as if the user had written them at `site`."""
    before, _STATE.site = _STATE.site, site
    try:
        yield
    finally:
        _STATE.site = before


# -- tracers -------------------------------------------------------------------------------------------------------


class Tracer:
    """An array inside a function that is being recorded. Behaves like an ndarray; NumPy functions accept it.

    The operators and methods of ndarray are added by `fungrad.numpy.protocols`.
    """

    __slots__ = ("__weakref__", "trace", "value", "var", "view", "weak")

    trace: Trace
    var: Operand
    value: Any
    weak: bool  # stands for a Python number, which takes the dtype of what it meets
    view: Any  # the memory it shares with other tracers (fungrad.numpy.views), or None

    def __init__(self, trace: Trace, var: Operand, value: Any = None, weak: bool = False) -> None:
        self.trace = trace
        self.var = var
        self.value = value
        self.weak = weak
        self.view = None

    @property
    def type(self) -> ArrayType:
        return self.var.type

    @property
    def shape(self) -> tuple[int, ...]:
        return self.var.type.shape

    @property
    def dtype(self) -> DType:
        return self.var.type.dtype

    @property
    def ndim(self) -> int:
        return len(self.var.type.shape)

    @property
    def size(self) -> int:
        return self.var.type.size


def concrete_value(tracer: Tracer) -> Any:
    """The ndarray or NumPy scalar under all levels of a tracer, or None where a level is abstract."""
    value: Any = tracer
    while isinstance(value, Tracer):
        value = value.value
    return value


class Trace:
    """One level of transformation while its function runs. A context manager; dead once left."""

    __slots__ = ("concrete", "level", "live", "purpose", "records")

    def __init__(self, purpose: str, concrete: bool) -> None:
        self.purpose = purpose
        self.concrete = concrete
        self.level = 0
        self.live = False
        self.records: list[Record] = []

    def __enter__(self) -> Trace:
        _STATE.depth += 1
        self.level = _STATE.depth
        self.live = True
        return self

    def __exit__(self, *_: object) -> None:
        _STATE.depth -= 1
        self.live = False

    def input(self, value: Any, weak: bool = False) -> Tracer:
        """A fresh tracer that carries `value` (concrete trace)."""
        return Tracer(self, Var(type_of(value)), value, weak)

    def abstract_input(self, type: ArrayType, weak: bool = False) -> Tracer:
        """A fresh tracer of which only the type is known."""
        return Tracer(self, Var(type), None, weak)

    def constant(self, value: Any) -> Tracer:
        """A tracer of a known value that no input influences."""
        return Tracer(self, Const(value), value if self.concrete else None)

    def record(self, op: Primitive, inputs: tuple[Any, ...]) -> Any:
        """Append one operation and return the tracer (or the tuple of tracers) of its result."""
        operands = tuple([_operand(x, self) for x in inputs])
        site = _user_site()
        if self.concrete:
            values = tuple([x.value if type(x) is Tracer and x.trace is self else x for x in inputs])
            value = bind(op, *values)
            if op.multiple:
                outs = tuple([Var(type_of(v)) for v in value])
                self.records.append(Record(op, operands, values, outs, value, site))
                return tuple([Tracer(self, var, v) for var, v in zip(outs, value, strict=True)])
            out = Var(type_of(value))
            self.records.append(Record(op, operands, values, out, value, site))
            return Tracer(self, out, value)
        with_types = [x.type if isinstance(x, Var) else type_of(x) for x in operands]
        inferred = op.infer(*with_types)
        if op.multiple:
            outs = tuple([Var(t) for t in inferred])
            self.records.append(Record(op, operands, (), outs, None, site))
            return tuple([Tracer(self, var) for var in outs])
        out = Var(inferred)
        self.records.append(Record(op, operands, (), out, None, site))
        return Tracer(self, out)

    def graph(
        self, inputs: Sequence[Var], outputs: Sequence[Any], name: str, names: Sequence[str] = ()
    ) -> tuple[Graph, list[Any]]:
        """The tape as a Graph, and the outer tracers it captured, which became extra leading inputs."""
        captures: dict[int, tuple[Any, Var]] = {}

        def operand(x: Any) -> Operand:
            if isinstance(x, Var | Const):
                return x
            if isinstance(x, Tracer):
                if x.trace is self:
                    return x.var
                return captures.setdefault(id(x.var), (x, Var(x.type)))[1]
            return constant(x)

        equations = tuple(
            Equation(
                record.op,
                tuple(map(operand, record.operands)),
                record.out if record.op.multiple else (record.out,),
                resolve_site(record.site),
            )
            for record in self.records
        )
        results = tuple(map(operand, outputs))
        extra = [var for _, var in captures.values()]
        extra_names = [f"captured{i}" for i in range(len(extra))]
        graph = Graph((*extra, *inputs), equations, results, name, (*extra_names, *names))
        return graph, [tracer for tracer, _ in captures.values()]


def _operand(x: Any, trace: Trace) -> Any:
    """What the tape stores for an operand: the Var of a tracer of this trace, else the value itself."""
    if type(x) is Tracer and x.trace is trace:
        var = x.var
        return var.value if type(var) is Const else var
    return x


def bind(op: Primitive, *inputs: Any) -> Any:
    """Apply a primitive: evaluate it on arrays, record it on tracers."""
    top: Trace | None = None
    for x in inputs:
        if type(x) is Tracer:
            trace = x.trace
            if not trace.live:
                raise _leaked(x)
            if top is None or trace.level > top.level:
                top = trace
    if top is None:
        return op.evaluate(*inputs)
    return top.record(op, inputs)


def _leaked(tracer: Tracer) -> LeakedTracerError:
    return LeakedTracerError(
        f"a traced value {tracer.type} made under {tracer.trace.purpose} was used at {user_line()}, after that "
        "transformation had finished. It was probably stored in a global, an attribute or a list outside the function. "
        "Return it from the function instead."
    )


def need_value(tracer: Tracer, action: str, instead: str) -> Any:
    """The known value of a tracer.

    Raises:
        ConcretizationError: the value is not known, because some level of tracing is abstract.
    """
    value = concrete_value(tracer)
    if value is None:
        raise ConcretizationError(
            f"{action} needs the value of an array {tracer.type}, but only its type is known under "
            f"{abstract_purpose(tracer)}, at {user_line()}. {instead}"
        )
    return value


def abstract_purpose(tracer: Tracer) -> str:
    """The transformation that hides the value of a tracer."""
    value: Any = tracer
    while isinstance(value, Tracer):
        purpose = value.trace.purpose
        value = value.value
    return purpose


def trace(
    f: Callable[..., Sequence[Any]],
    types: Sequence[ArrayType],
    *,
    purpose: str,
    name: str = "f",
    names: Sequence[str] = (),
    weak: Sequence[bool] = (),
) -> tuple[Graph, list[Any]]:
    """Record a function of flat arguments abstractly.

    Args:
        f: takes one tracer for each type and returns a flat sequence of values.
        types: the types of the arguments.
        purpose: what errors call this trace, such as `jit`.

    Returns:
        The graph and the captured outer tracers, which are its leading inputs.
    """
    with Trace(purpose, concrete=False) as level:
        flags = weak or [False] * len(types)
        tracers = [level.abstract_input(t, w) for t, w in zip(types, flags, strict=True)]
        outputs = f(*tracers)
        variables = [t.var for t in tracers]
        return level.graph([v for v in variables if isinstance(v, Var)], list(outputs), name, names)


def is_array(x: Any) -> bool:
    """Whether `x` is a value `bind` accepts."""
    return isinstance(x, Tracer | np.ndarray | np.generic)
