"""`jit`: compile a function for the types it is called with."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fungrad import tree, tree_code
from fungrad.arguments import (
    Leaves,
    as_leaf,
    check_callable,
    flatten_arguments,
    function_name,
    leaf_paths,
    parameter_names,
)
from fungrad.compilation import Origin, Phases, remember_origin
from fungrad.compile_reasons import Layout, Signature, place, reason
from fungrad.context import finding_nans, stepwise
from fungrad.effects import has_effects
from fungrad.errors import CompileError, UnsupportedError
from fungrad.evaluate import evaluate
from fungrad.ir.graph import Graph
from fungrad.ir.printing import identifiers
from fungrad.ir.types import BOOL, INT, ArrayType, DType, type_of
from fungrad.jit.forks import LOCK
from fungrad.nans import check_program
from fungrad.signature import check_static, checked_threads, donated_arguments, spelling, static_arguments
from fungrad.trace import Tracer, bind, concrete_value, recording_program, trace

if TYPE_CHECKING:
    from fungrad.explain import Explanation
    from fungrad.jit.python_call import NativeCall
    from fungrad.jit.runtime import Compiled

Function = Callable[..., Any]


class _Shortcut(NamedTuple):
    """A call without looking at types: the native function does, and a wrong guess costs next to nothing."""

    flatten: Callable[[tuple[Any, ...]], tuple[Any, ...] | None]
    call: NativeCall
    build: Callable[[Sequence[Any]], Any]
    fail: Callable[[int], None]


class _Program(NamedTuple):
    """What a function became for one signature."""

    graph: Graph
    captures: list[Any]  # outer tracers the function closed over
    structure: tree.TreeDef  # of the result
    fixed: list[tuple[int, Any]]  # leaves of the result that no input influences, by position
    numbers: list[Any]  # for each other leaf, the Python number type to return, or None for arrays
    donated: tuple[int, ...]  # leaves of the arguments that results may be written over
    shortcuts: list[_Shortcut]  # none or one
    runs: bool  # whether there is anything to compute or to do


_SHORTCUTS = 4
_PYTHON_NUMBERS: dict[DType, type] = {BOOL: bool, INT: int, np.dtype(np.float64): float}


class Jitted:
    """A compiled function; see `jit`."""

    def __init__(
        self, f: Function, static_argnums: Any, static_argnames: Any, donate_argnums: Any, threads: int | None
    ) -> None:
        check_callable("jit", f)
        functools.update_wrapper(self, f, updated=())
        self._f = f
        self._options = (static_argnums, static_argnames, donate_argnums, threads)
        self._static_positions, self._static_names = static_arguments(f, static_argnums, static_argnames)
        self._donated = donated_arguments(f, donate_argnums, self._static_positions)
        self._threads = checked_threads(threads)
        self._programs: dict[Signature, _Program] = {}
        self._shortcuts: tuple[_Shortcut, ...] = ()  # of the last signatures
        with LOCK:
            from fungrad.jit.call import Call, compiled  # here, since `import fungrad` should not pay for the compiler

        self._call, self._code = Call, compiled

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`f(*args, **kwargs)`, compiled at the first call with new types."""
        if not kwargs:
            for flatten, call, build, fail in self._shortcuts:
                leaves = flatten(args)
                if leaves is not None:
                    outs = call(leaves)
                    if type(outs) is tuple:
                        return build(outs)
                    if outs is not None:
                        fail(outs)
        return self._call_by_types(args, kwargs)

    def _call_with_checks(self, *args: Any, **kwargs: Any) -> Any:
        """`__call__` as long as a debugging mode is set in some thread: without guessing, which would pass it by."""
        return self._call_by_types(args, kwargs)

    def _call_by_types(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if stepwise():
            return self._f(*args, **kwargs)
        layout, leaves = self._read(args, kwargs)
        values = leaves.values
        tracers = [x for x in values if type(x) is Tracer]
        if recording_program() and any(concrete_value(x) is None for x in tracers):
            return self._f(*args, **kwargs)  # part of a program that will be compiled as a whole
        program = self._program(layout, leaves, args, kwargs)
        if program.captures:
            outs: Sequence[Any] = evaluate(program.graph, *program.captures, *values)
        elif tracers:
            outs = bind(self._call(program.graph, self._threads), *values) if program.runs else ()
        elif program.runs:
            donated = () if finding_nans() else program.donated  # the search needs the arguments
            outs = self._code(program.graph, donated, self._threads)(values)
            check_program(program.graph, values, outs)
            if not (kwargs or layout.static):
                self._remember(program, leaves)
        else:
            outs = ()
        return _result(program, outs)

    def _remember(self, program: _Program, leaves: Leaves) -> None:
        """Try the program first at the next calls."""
        if not program.shortcuts:
            weak = [_PYTHON_NUMBERS[x.dtype] if w else None for x, w in zip(leaves.values, leaves.weak, strict=True)]
            compiled = self._code(program.graph, program.donated, self._threads)
            fixed = [(i, leaf.copy if isinstance(leaf, np.ndarray) else lambda x=leaf: x) for i, leaf in program.fixed]
            program.shortcuts.append(
                _Shortcut(
                    tree_code.flattener(leaves.structure),
                    compiled.call(weak, program.numbers),
                    tree_code.builder(program.structure, fixed),
                    compiled.fail,
                )
            )
        if program.shortcuts[0] not in self._shortcuts:
            self._shortcuts = (program.shortcuts[0], *self._shortcuts[: _SHORTCUTS - 1])

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The optimized graph that is compiled for these arguments."""
        return self._compiled(args, kwargs).graph

    def source(self, *args: Any, **kwargs: Any) -> str:
        """The loops that are compiled for these arguments, as Python source that fills its output arguments."""
        from fungrad.jit.emit_python import emit_python

        return emit_python(self._compiled(args, kwargs).program)

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """What is compiled for these arguments, and why so; print it, or read its parts. See `Explanation`."""
        from fungrad.explain import explain

        program = self._program(*self._read(args, kwargs), args, kwargs)
        return explain(program.graph, program.donated, self._threads)

    def dispatcher(self, *args: Any, **kwargs: Any) -> Any:
        """An `@numba.njit` function of the flat array arguments, to be called from other njit functions.

        It is compiled for the shapes and dtypes of these arguments and takes their leaves in order (dicts by sorted
        key); 0-d leaves are numbers. It returns the leaves of the result: one alone, several as a tuple.
        """
        traced = self._program(*self._read(args, kwargs), args, kwargs)
        if not traced.fixed and not traced.graph.outputs:
            raise CompileError(f"dispatcher: {function_name(self._f)} returns nothing. Return what it computes.")
        if traced.fixed:
            raise CompileError(
                f"dispatcher: {function_name(self._f)} returns {len(traced.fixed)} value(s) that do not depend on its "
                "arguments, such as a constant. Return only what is computed from them."
            )
        return self._code(traced.graph, (), self._threads).dispatcher

    @property
    def _numba_type_(self) -> Any:
        """What Numba asks for the type of a value."""
        raise UnsupportedError(
            f"{self!r} was used inside a Numba function. Make a function that can be called there first, for arguments "
            "like those it will get: kernel = jit(f).dispatcher(x)."
        )

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> Any:
        """By name, as functions are pickled; one without a name by the function it compiles."""
        name = getattr(self, "__qualname__", "")
        found: Any = sys.modules.get(self.__module__)
        for part in name.split("."):
            found = getattr(found, part, None)
        return name if found is self else (Jitted, (self._f, *self._options))

    def __repr__(self) -> str:
        return f"<jit of {function_name(self._f)}>"

    def _compiled(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Compiled:
        program = self._program(*self._read(args, kwargs), args, kwargs)
        return self._code(program.graph, program.donated, self._threads)

    def _read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Layout, Leaves]:
        """Separate traced from static arguments, and take the traced ones apart."""
        count = len(args)
        if not kwargs and not self._static_positions:
            layout = Layout(count, tuple(range(count)), (), ())
            return layout, flatten_arguments(args, lambda: self._names(layout))
        fixed = {i % count for i in self._static_positions if -count <= i < count}
        static = [(f"argument {i}", args[i]) for i in sorted(fixed)]
        static += [(k, kwargs[k]) for k in sorted(kwargs) if k in self._static_names]
        for name, value in static:
            check_static(name, value)
        layout = Layout(
            count,
            tuple(i for i in range(count) if i not in fixed),
            tuple(k for k in sorted(kwargs) if k not in self._static_names),
            tuple((name, type(value), value, spelling(value)) for name, value in static),
        )
        chosen = [*(args[i] for i in layout.traced), *(kwargs[k] for k in layout.keys)]
        return layout, flatten_arguments(chosen, lambda: self._names(layout))

    def _names(self, layout: Layout) -> list[str]:
        """What the user calls the traced arguments."""
        names = parameter_names(self._f, layout.given)
        return [*(names[i] for i in layout.traced), *layout.keys]

    def _program(self, layout: Layout, leaves: Leaves, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Program:
        """The program for the types of these arguments, traced at the first need."""
        types = tuple([type_of(x) for x in leaves.values])
        key = Signature(leaves.structure, types, tuple(leaves.weak), layout)
        found = self._programs.get(key)
        if found is None:
            phases = Phases()
            with phases.measure("tracing"):
                found = self._trace(layout, leaves, types, args, kwargs)
            if not found.captures:
                why = reason(self._f, self._programs, key, self._names(layout))
                remember_origin(found.graph, Origin(place(self._f), why, phases))
                self._programs[key] = found
        return found

    def _trace(
        self,
        layout: Layout,
        leaves: Leaves,
        types: tuple[ArrayType, ...],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> _Program:
        structure = tree.LEAF
        fixed: list[tuple[int, Any]] = []
        numbers: list[Any] = []

        def flat(*tracers: Any) -> list[Any]:
            nonlocal structure
            arguments = tree.unflatten(leaves.structure, tracers)
            positional = list(args)
            for i, argument in zip(layout.traced, arguments, strict=False):
                positional[i] = argument
            by_name = {**kwargs, **dict(zip(layout.keys, arguments[len(layout.traced) :], strict=True))}
            results, structure = tree.flatten(self._f(*positional, **by_name))
            outs = []
            for position, (leaf, path) in enumerate(zip(results, tree.key_paths(structure, "the result"), strict=True)):
                if not isinstance(leaf, str):
                    as_leaf(leaf, f"{path} of {function_name(self._f)}")
                if isinstance(leaf, Tracer):
                    outs.append(leaf)
                    numbers.append(_PYTHON_NUMBERS.get(leaf.dtype) if leaf.weak else None)
                else:
                    fixed.append((position, leaf))
            return outs

        name = identifiers([function_name(self._f)])[0]
        names = identifiers(leaf_paths(leaves.structure, self._names(layout)))
        graph, captures = trace(flat, types, purpose="jit", name=name, names=names, weak=leaves.weak)
        runs = bool(graph.outputs) or has_effects(graph)
        return _Program(graph, captures, structure, fixed, numbers, self._donated_leaves(layout, leaves), [], runs)

    def _donated_leaves(self, layout: Layout, leaves: Leaves) -> tuple[int, ...]:
        """The positions of the leaves of donated arguments."""
        if not self._donated:
            return ()
        counts = [child.leaves for child in leaves.structure.children]
        positions = [*layout.traced, *(-1 for _ in layout.keys)]
        owners = [position for position, count in zip(positions, counts, strict=True) for _ in range(count)]
        return tuple(i for i, owner in enumerate(owners) if owner in self._donated)


_COMMON_CALL = Jitted.__call__


def look_at_each_call(on: bool) -> None:
    """Whether calls of all compiled functions look at the debugging modes."""
    setattr(Jitted, "__call__", Jitted._call_with_checks if on else _COMMON_CALL)  # noqa: B010


def jit(
    f: Function | None = None,
    *,
    static_argnums: Any = (),
    static_argnames: Any = (),
    donate_argnums: Any = (),
    threads: int | None = None,
) -> Any:
    """Compile `f` into one native function for each combination of argument types.

    Args:
        f: a pure function of arrays and pytrees of arrays, written in NumPy. Without it, `jit` returns a decorator.
        static_argnums: positions of arguments that are not traced but part of the program. They are compared by value
            and must be hashable; a new value compiles a new program.
        static_argnames: the same by name.
        donate_argnums: positions of arguments whose arrays are not needed after the call. Results of the same shape and
            dtype may be written over them, and are then the very arrays that were passed: `w = step(w, x, y)` updates
            `w` in place. Arrays that are read-only, not dense, or share memory with another argument are copied.
        threads: how many threads a call uses at the most. None stands for the environment variable
            `FUNGRAD_NUM_THREADS`, or for as many as the process may run at once. Results do not depend on it.

    Returns:
        A function with the arguments and result of `f`. Python numbers in the result stay Python numbers if NumPy would
        give them; other 0-d results are NumPy scalars. Calling it inside another transformation is allowed. It has the
        methods `graph`, `source`, `explain` and `dispatcher`; see `Jitted`.

    Raises:
        StaticArgumentError: a static or donated argument does not exist, is both, or is not hashable.
        ConcretizationError: `f` needs a value where only a type is known, as in `if x > 0`.

    >>> float(jit(lambda x: np.sum(x * x))(np.array([1.0, 2.0])))
    5.0
    """
    if f is None:
        return lambda g: Jitted(g, static_argnums, static_argnames, donate_argnums, threads)
    return Jitted(f, static_argnums, static_argnames, donate_argnums, threads)


def _result(program: _Program, outs: Sequence[Any]) -> Any:
    leaves = list(outs)
    for position, number in enumerate(program.numbers):
        if number is not None:
            if type(leaves[position]) is Tracer:
                leaves[position].weak = True
            else:
                leaves[position] = number(leaves[position])
    for position, leaf in program.fixed:
        leaves.insert(position, leaf.copy() if isinstance(leaf, np.ndarray) else leaf)
    return tree.unflatten(program.structure, leaves)
