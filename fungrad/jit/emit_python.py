"""Loop IR -> Python source: what `jit(f).source(*args)` shows.

The text is a program: executed with NumPy alone (`run_source`) it computes what the native function computes, slowly.
Tests compare the two.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad.errors import OutOfBoundsError
from fungrad.jit.loops import (
    Apply,
    Assign,
    Buffer,
    Choose,
    Expr,
    Gemm,
    Grow,
    Guard,
    Host,
    Index,
    Let,
    Literal,
    Load,
    Local,
    Loop,
    Note,
    Program,
    Repeat,
    Statement,
    Store,
    View,
    int_value,
)
from fungrad.jit.walk import buffers_in
from fungrad.primitives.elementwise import ROWS
from fungrad.primitives.random import threefry2x32

_INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "equal": "==",
    "not_equal": "!=",
    "bitwise_and": "&",
    "bitwise_or": "|",
    "bitwise_xor": "^",
    "logical_and": "and",
    "logical_or": "or",
}
_OWN: dict[str, Any] = {
    **{name: row.function for name, row in ROWS.items() if not isinstance(row.function, np.ufunc)},
    "threefry2x32": threefry2x32,
}
"""The operations that NumPy has no function for."""


def emit_python(program: Program) -> str:
    """The source of a function of the program's inputs, constants and outputs, which it fills.

    An input that is written over is an output, and stands there once, with the inputs.
    """
    arguments = list(dict.fromkeys(program.arguments))
    lines = [f"def {program.name}({', '.join(b.name for b in arguments)}):"]
    for buffer in arguments:
        lines.append(f"    # {buffer.name}: {buffer.type}, {buffer.role}")
    for buffer in program.tapes:
        lines.append(f"    {buffer.name} = np.empty({(0, *buffer.type.shape)}, np.{buffer.type.dtype.name})  # grows")
    for buffer in program.temps:
        lines.append(f"    {buffer.name} = np.empty({buffer.type.shape}, np.{buffer.type.dtype.name})")
    lines += _block(program.body, program, frozenset(), "    ")
    return "\n".join(lines) + "\n"


def _block(body: Sequence[Statement], program: Program, known: frozenset[Buffer], pad: str) -> list[str]:
    """The lines of statements, each after the definitions of the aliases it reads.

    `known` are the rows and aliases that are defined. An alias is defined in the block where its memory is.
    """
    lines: list[str] = []
    for statement in body:
        for alias in [alias for buffer in buffers_in(statement) for alias in _chain(buffer)]:
            if alias not in known and (alias.memory.role != "view" or alias.memory in known):
                assert alias.alias is not None
                known |= {alias}
                lines.append(f"{pad}{alias.name} = {alias.alias.name}.reshape({alias.type.shape})")
        if isinstance(statement, View):
            known |= {statement.buffer}
        lines += _statement(statement, program, known, pad)
    return lines or [f"{pad}pass"]


def _chain(buffer: Buffer) -> list[Buffer]:
    """The aliases from a buffer to its memory, the outermost last."""
    return [] if buffer.alias is None else [*_chain(buffer.alias), buffer]


def _statement(statement: Statement, program: Program, known: frozenset[Buffer], pad: str) -> list[str]:
    match statement:
        case Note(text=text):
            return [f"{pad}# {text}"]
        case Loop(index=index, stop=stop, body=body, start=start, work=work):
            bounds = _expr(stop) if int_value(start) == 0 else f"{_expr(start)}, {_expr(stop)}"
            head = f"{pad}for {index.name} in range({bounds}):{'  # in any order, on any thread' if work else ''}"
            return [head, *_block(body, program, known, pad + "    ")]
        case Repeat(condition=condition, ok=ok, body=body):
            inner = pad + "    "
            leave = [f"{inner}if not {_expr(ok, inner=True)}:", f"{inner}    break"]
            before, after = (_block(part, program, known, inner) for part in (condition, body))
            return [f"{pad}while True:", *before, *leave, *after]
        case Choose(index=index, cases=cases):
            lines = []
            for number, case in enumerate(cases):
                lines.append(f"{pad}{'elif' if number else 'if'} {_expr(index, inner=True)} == {number}:")
                lines += _block(case, program, known, pad + "    ")
            return lines
        case View(buffer=buffer, source=source, row=row):
            return [f"{pad}{buffer.name} = {source.name}[{_expr(row)}, ...]"]
        case Grow(tape=tape, rows=rows):
            return [f"{pad}{tape.name} = grown({tape.name}, {_expr(rows)})"]
        case Let(local=local, value=value) | Assign(local=local, value=value):
            return [f"{pad}{local.name} = {_typed(value) if isinstance(value, Literal) else _expr(value)}"]
        case Store(buffer=buffer, index=index, value=value):
            return [f"{pad}{buffer.name}[{_index(index)}] = {_expr(value)}"]
        case Guard(ok=ok, number=number):
            return [f"{pad}if not ({_expr(ok)}):", f"{pad}    raise IndexError({program.failures[number]!r})"]
        case Gemm(out=out, addend=addend, scale=scale):
            a = _matrix(statement.a, statement.transpose_a)
            b = _matrix(statement.b, statement.transpose_b)
            if addend is None:
                return [f"{pad}np.matmul({a}, {b}, out={out.name})"]
            factor = "" if scale is None else f"{_typed(scale) if isinstance(scale, Literal) else _expr(scale)} * "
            return [f"{pad}{out.name}[...] = {addend.name} + {factor}np.matmul({a}, {b})"]
        case Host(op=op, inputs=inputs, outputs=outputs):
            call = f"host({statement.number}, {', '.join(b.name for b in inputs)})"
            if not outputs:
                return [f"{pad}{call}  # {op.name}"]
            targets = ", ".join(f"{b.name}[...]" for b in outputs)
            comma = "," if op.multiple and len(outputs) == 1 else ""
            return [f"{pad}{targets}{comma} = {call}  # {op.name}"]


def _matrix(buffer: Buffer, transposed: bool) -> str:
    return f"{buffer.name}.mT" if transposed else buffer.name


def _index(index: Sequence[Expr]) -> str:
    return ", ".join(map(_expr, index)) if index else "()"


def _typed(x: Literal) -> str:
    """A literal that keeps its dtype when it stands alone."""
    if x.dtype.kind == "b" or x.dtype == np.float64:
        return _expr(x)
    return f"np.{x.dtype.name}({_expr(x)})"


def _expr(expr: Expr, inner: bool = False) -> str:
    match expr:
        case Literal(value=value):
            if value.dtype.kind == "f":
                special = {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}
                text = str(value)
                return special.get(text, text)
            return str(value)
        case Index(name=name) | Local(name=name):
            return name
        case Load(buffer=buffer, index=index):
            return f"{buffer.name}[{_index(index)}]"
        case Apply(op=op, args=args, dtype=dtype):
            if op in _INFIX and not all(isinstance(x, Literal) for x in args):
                left, right = (_expr(x, inner=True) for x in args)
                text = f"{left} {_INFIX[op]} {right}"
                return f"({text})" if inner else text
            if op == "neg":
                return f"-{_expr(args[0], inner=True)}"
            if op == "logical_not":
                text = f"not {_expr(args[0], inner=True)}"
                return f"({text})" if inner else text
            if op == "select":
                condition, x, y = (_expr(a, inner=True) for a in args)
                text = f"{x if not isinstance(args[1], Literal) else _typed(args[1])} if {condition} else "
                text += y if not isinstance(args[2], Literal) else _typed(args[2])
                return f"({text})" if inner else text
            if op == "convert":
                return (
                    f"np.{dtype.name}({_expr(args[0])})"
                    if dtype.kind == "f"
                    else f"convert({_expr(args[0])}, {dtype.name!r})"
                )
            only_literals = all(isinstance(x, Literal) for x in args)
            texts = [_typed(x) if isinstance(x, Literal) and only_literals else _expr(x) for x in args]
            name = op if op in _OWN else f"np.{ROWS[op].function.__name__}"
            return f"{name}({', '.join(texts)})"


def _convert(x: Any, dtype: str) -> Any:
    return np.asarray(x).astype(dtype)[()]


def grown_tape(tape: Any, rows: int) -> Any:
    """A tape with room for at least that many rows."""
    if len(tape) >= rows:
        return tape
    larger = np.empty((2 * rows, *tape.shape[1:]), tape.dtype)
    larger[: len(tape)] = tape
    return larger


def run_source(
    program: Program,
    inputs: Sequence[Any],
    edit: Callable[[str], str] = str,
    array: Callable[[Any], Any] = np.asarray,
    **names: Any,
) -> list[Any]:
    """Execute the source of a program as plain Python and return its outputs.

    Args:
        program, inputs: of the compiled function.
        edit: what to do with the source before.
        array: makes the arrays of inputs, constants and outputs, of NumPy's.
        names: what names in the source mean, besides or instead of what they are.
    """
    source = edit(emit_python(program))
    file = f"<fungrad {program.name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)

    def host(position: int, *arrays: Any) -> Any:
        return program.hosts[position].op.evaluate(*arrays)

    namespace: dict[str, Any] = {**_OWN, "np": np, "host": host, "convert": _convert, "grown": grown_tape} | names
    exec(compile(source, file, "exec"), namespace)
    arrays = {b: array(np.empty(b.type.shape, b.type.dtype)) for b in program.outputs}
    arrays |= {
        b: array(np.array(x, dtype=b.type.dtype, order="C")) for x, b in zip(inputs, program.inputs, strict=True)
    }
    arrays |= {b: array(b.value) for b in program.constants}
    try:
        with np.errstate(all="ignore"):
            namespace[program.name](*(arrays[b] for b in dict.fromkeys(program.arguments)))
    except IndexError as error:
        raise OutOfBoundsError(str(error)) from None
    return [arrays[b] for b in program.outputs]
