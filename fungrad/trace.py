"""Recording: `Tracer`, `Trace` and `bind`, the one door every operation goes through.

There is one kind of tracer. A `Trace` is one level of transformation; transformations nest, and an operation is
recorded by the deepest level among its operands. Each tracer stands for a `Var` of its trace and, in a *concrete*
trace, also carries the value one level further out: an ndarray, or a tracer of an enclosing trace. Then the function
really runs while it is recorded, which is why Python `if` works under `grad`. In an *abstract* trace (`jit`,
`make_graph`) only types are known.

What a trace records is a list of `Record`s, the tape. `Trace.graph` turns the tape into an immutable `Graph`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from fungrad.context import STATE, line_in, user_site
from fungrad.context import attributed_to as attributed_to
from fungrad.context import resolve_site as resolve_site
from fungrad.context import user_line as user_line
from fungrad.errors import ConcretizationError, FungradError, LeakedTracerError
from fungrad.ir.graph import Const, Equation, Graph, Operand, Var, constant
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import ArrayType, DType, type_of

_LEVELS = itertools.count(1)  # a trace inside another starts later, also in another thread: later is deeper


Record = tuple[Primitive, tuple[Any, ...], tuple[Any, ...], Any, Any, Any]
"""One operation on the tape of a trace, a plain tuple since one is made for every operation:

- op: the primitive.
- operands: for each a Var of this trace, or the value itself: ndarray, scalar or outer tracer.
- values: the operands one level out; () in an abstract trace.
- out: a Var, or a tuple of Vars if `op.multiple`.
- out_value: the result one level out; None in an abstract trace.
- site: where the user wrote it, see `resolve_site`.
"""


# -- tracers -------------------------------------------------------------------------------------------------------


class Tracer:
    """An array inside a function that is being recorded. Behaves like an ndarray; NumPy functions accept it.

    The operators and methods of ndarray are added by `fungrad.numpy.protocols`.
    """

    __slots__ = ("__weakref__", "memory", "operand", "owner", "value", "weak")

    owner: Trace  # the level that records it
    operand: Operand  # what it stands for there
    value: Any
    weak: bool  # stands for a Python number, which takes the dtype of what it meets
    memory: Any  # the memory it shares with other tracers (fungrad.numpy.views), or None

    def __init__(self, owner: Trace, operand: Operand, value: Any = None, weak: bool = False) -> None:
        self.owner = owner
        self.operand = operand
        self.value = value
        self.weak = weak
        self.memory = None

    @property
    def type(self) -> ArrayType:
        return self.operand.type

    @property
    def shape(self) -> tuple[int, ...]:
        return self.operand.type.shape

    @property
    def dtype(self) -> DType:
        return self.operand.type.dtype

    @property
    def ndim(self) -> int:
        return len(self.operand.type.shape)

    @property
    def size(self) -> int:
        return self.operand.type.size


def fresh(x: Any) -> Any:
    """A tracer as a handle of its own, which in-place operators on `x` do not move; anything else as it is."""
    return Tracer(x.owner, x.operand, x.value, x.weak) if type(x) is Tracer else x


def concrete_value(tracer: Tracer) -> Any:
    """The ndarray or NumPy scalar under all levels of a tracer, or None where a level is abstract."""
    value: Any = tracer
    while isinstance(value, Tracer):
        value = value.value
    return value


class Trace:
    """One level of transformation while its function runs. A context manager; dead once left."""

    __slots__ = ("around", "branch", "concrete", "enclosing", "level", "live", "purpose", "records", "whole")

    def __init__(self, purpose: str, concrete: bool, whole: bool = False, branch: bool = False) -> None:
        self.purpose = purpose
        self.concrete = concrete
        self.whole = whole  # its graph is compiled or shown as one program
        self.branch = branch  # what its function does to outer tracers is recorded here too: it may not happen at all
        self.around: Any = None  # the trace it is inside of
        self.enclosing: Any = None
        self.level = 0
        self.live = False
        self.records: list[Record] = []

    def __enter__(self) -> Trace:
        self.level = next(_LEVELS)
        self.live = True
        self.around, STATE.innermost = STATE.innermost, self
        STATE.programs += self.whole
        if self.branch:
            self.enclosing, STATE.branch = STATE.branch, self
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self.live = False
        STATE.innermost, self.around = self.around, None
        STATE.programs -= self.whole
        if self.branch:
            STATE.branch, self.enclosing = self.enclosing, None
        cause = getattr(error, "__cause__", None)
        if isinstance(cause, FungradError) and not isinstance(error, FungradError):
            raise cause  # NumPy buries our message under its own where `ndarray[i] = tracer` fails
        if type(error) is TypeError and "<traced " in str(error):  # as NumPy's of shapes, such as np.zeros(tracer)
            raise ConcretizationError(
                f"{error}, at {line_in(traceback)}. Shapes, lengths and options must be known. {STATIC}"
            ) from error

    def input(self, value: Any, weak: bool = False) -> Tracer:
        """A fresh tracer that carries `value` (concrete trace)."""
        return Tracer(self, Var(type_of(value)), fresh(value), weak)

    def abstract_input(self, type: ArrayType, weak: bool = False) -> Tracer:
        """A fresh tracer of which only the type is known."""
        return Tracer(self, Var(type), None, weak)

    def constant(self, value: Any) -> Tracer:
        """A tracer of a known value that no input influences."""
        return Tracer(self, Const(value), value if self.concrete else None)

    def record(self, op: Primitive, inputs: tuple[Any, ...], run: Callable[..., Any] | None = None) -> Any:
        """Append one operation and return the tracer (or the tuple of tracers) of its result.

        In a concrete trace `run` may say how the result is computed from the operands one level out.
        """
        operands: list[Any] = []
        values: list[Any] = []
        nested = False
        for x in inputs:
            operand = x
            if type(x) is Tracer:
                if x.owner is self:
                    operand = x.operand.value if type(x.operand) is Const else x.operand
                    x = x.value
                else:
                    operand = x = fresh(x)
                nested = nested or type(x) is Tracer
            operands.append(operand)
            values.append(x)
        site = user_site()
        out: Any
        if self.concrete:
            compute = run or (partial(bind, op) if nested else op.evaluate)
            value = compute(*values)
            if STATE.nans:
                STATE.nans(op, values, value)
            if op.multiple:
                out = tuple([Var(type_of(v)) for v in value])
                self.records.append((op, tuple(operands), tuple(values), out, value, site))
                return tuple([Tracer(self, var, v) for var, v in zip(out, value, strict=True)])
            out = Var(type_of(value))
            self.records.append((op, tuple(operands), tuple(values), out, value, site))
            return Tracer(self, out, value)
        inferred = op.infer(*[x.type if type(x) is Var else type_of(x) for x in operands])
        out = tuple(map(Var, inferred)) if op.multiple else Var(inferred)
        self.records.append((op, tuple(operands), (), out, None, site))
        return tuple([Tracer(self, var) for var in out]) if op.multiple else Tracer(self, out)

    def graph(
        self, inputs: Sequence[Var], outputs: Sequence[Any], name: str, names: Sequence[str] = ()
    ) -> tuple[Graph, list[Any]]:
        """The tape as a Graph, and the outer tracers it captured, which became extra leading inputs."""
        captures: dict[int, tuple[Any, Var]] = {}

        def operand(x: Any) -> Operand:
            if isinstance(x, Var | Const):
                return x
            if isinstance(x, Tracer):
                if x.owner is self:
                    return x.operand
                return captures.setdefault(id(x.operand), (x, Var(x.type)))[1]
            return constant(x)

        equations = tuple(
            Equation(op, tuple(map(operand, operands)), out if op.multiple else (out,), resolve_site(site))
            for op, operands, _, out, _, site in self.records
        )
        results = tuple(map(operand, outputs))
        extra = [var for _, var in captures.values()]
        extra_names = [f"captured{i}" for i in range(len(extra))]
        graph = Graph((*extra, *inputs), equations, results, name, (*extra_names, *names))
        return graph, [tracer for tracer, _ in captures.values()]


def bind(op: Primitive, *inputs: Any) -> Any:
    """Apply a primitive: evaluate it on arrays, record it on tracers."""
    top = deepest(inputs)
    if op.effect:
        return () if STATE.quiet else _perform(op, inputs, STATE.innermost)
    return op.evaluate(*inputs) if top is None else top.record(op, inputs)


def _perform(op: Primitive, inputs: Sequence[Any], level: Trace | None) -> Any:
    """Record an operation with an effect in the innermost abstract trace; outside all of them it happens."""
    if level is None:
        return op.evaluate(*inputs)
    if not level.concrete:
        return level.record(op, tuple(inputs))
    values = [x.value if type(x) is Tracer and x.owner is level else x for x in inputs]
    return _perform(op, values, level.around)


def deepest(values: Sequence[Any]) -> Trace | None:
    """The trace that records an operation on the values: the innermost that one belongs to, or a branch inside it."""
    top: Trace | None = None
    for x in values:
        if type(x) is Tracer:
            trace = x.owner
            if not trace.live:
                raise leaked(x)
            if top is None or trace.level > top.level:
                top = trace
    if top is not None:
        branch = STATE.branch
        if branch is not None and branch.level > top.level:
            return branch  # type: ignore[no-any-return]
    return top


def check_end(level: Trace) -> None:
    """Look for what outlives a trace, if this thread does."""
    if STATE.leaks is not None:
        STATE.leaks(level)


def recording_program() -> bool:
    """Whether this thread records a whole program, which compiled functions that are called become a part of."""
    return STATE.programs > 0


def leaked(tracer: Tracer) -> LeakedTracerError:
    """The error for a tracer whose transformation has finished."""
    return LeakedTracerError(
        f"a traced value {tracer.type} made under {tracer.owner.purpose} was used at {user_line()}, after that "
        "transformation had finished. It was probably stored in a global, an attribute or a list outside the function. "
        "Return it from the function instead."
    )


STATIC = "If it is an argument of jit that need not be traced, name it: jit(f, static_argnames=...)."
"""What helps where a number is needed that is an argument."""


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
        purpose = value.owner.purpose
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
    whole: bool = True,
    branch: bool = False,
    own: bool = False,
) -> tuple[Graph, list[Any]]:
    """Record a function of flat arguments abstractly.

    Args:
        f: takes one tracer for each type and returns a flat sequence of values.
        types: the types of the arguments.
        purpose: what errors call this trace, such as `jit`.
        whole: whether the graph is compiled or shown as one program, into which compiled functions are inlined.
        branch: whether operations on outer tracers alone are part of the graph; else they are done at once, outside.
        own: whether f is a part of fungrad that keeps tracers on purpose.

    Returns:
        The graph and the captured outer tracers, which are its leading inputs.
    """
    with Trace(purpose, concrete=False, whole=whole, branch=branch) as level:
        flags = weak or [False] * len(types)
        tracers = [level.abstract_input(t, w) for t, w in zip(types, flags, strict=True)]
        # before f runs: in-place operators make a tracer stand for another Var
        variables = [v for t in tracers if isinstance(v := t.operand, Var)]
        outputs = list(f(*tracers))
        found = level.graph(variables, outputs, name, names)
    del tracers, outputs
    if not own:
        check_end(level)
    return found


def is_array(x: Any) -> bool:
    """Whether `x` is a value `bind` accepts."""
    return isinstance(x, Tracer | np.ndarray | np.generic)
