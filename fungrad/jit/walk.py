"""Walks over the loop IR: what statements and expressions are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    Load,
    Local,
    Loop,
    Repeat,
    Statement,
    Store,
    View,
)


def inner_statements(statement: Statement) -> list[Statement]:
    """The statements directly inside another."""
    match statement:
        case Loop(body=body):
            return body
        case Repeat(condition=condition, body=body):
            return [*condition, *body]
        case Choose(cases=cases):
            return [inner for case in cases for inner in case]
    return []


def expressions_in(statement: Statement) -> Iterator[Expr]:
    """Every expression of a statement and those inside it, with its parts."""
    for own in own_expressions(statement):
        yield from parts(own)
    for inner in inner_statements(statement):
        yield from expressions_in(inner)


def parts(x: Expr) -> Iterator[Expr]:
    """An expression and everything it is made of."""
    yield x
    if isinstance(x, Apply | Load):
        for part in x.args if isinstance(x, Apply) else x.index:
            yield from parts(part)


def own_expressions(statement: Statement) -> Sequence[Expr]:
    """The expressions of a statement, but for those of the statements inside it."""
    match statement:
        case Loop(start=start, stop=stop):
            return start, stop
        case Repeat(ok=ok) | Guard(ok=ok):
            return (ok,)
        case Choose(index=index):
            return (index,)
        case View(row=row) | Grow(rows=row):
            return (row,)
        case Let(value=value) | Assign(value=value):
            return (value,)
        case Store(index=index, value=value):
            return *index, value
        case Gemm(scale=scale):
            return () if scale is None else (scale,)
    return ()


def free_scalars(statement: Statement) -> list[Local | Index]:
    """The locals and the indices of loops that a statement reads but does not define."""
    defined = set(_defined(statement))
    used = dict.fromkeys(x for x in expressions_in(statement) if isinstance(x, Local | Index))
    return [x for x in used if x not in defined]


def _defined(statement: Statement) -> Iterator[Local | Index]:
    match statement:
        case Loop(index=index):
            yield index
        case Let(local=local) | Assign(local=local):
            yield local
    for inner in inner_statements(statement):
        yield from _defined(inner)


def buffers_in(statement: Statement) -> list[Buffer]:
    """The buffers a statement touches."""
    return [*own_buffers(statement), *(b for inner in inner_statements(statement) for b in buffers_in(inner))]


def views_in(statement: Statement) -> list[View]:
    """The views a statement makes."""
    inside = [view for inner in inner_statements(statement) for view in views_in(inner)]
    return [statement, *inside] if isinstance(statement, View) else inside


def own_buffers(statement: Statement) -> list[Buffer]:
    """The buffers a statement touches, but for those the statements inside it do."""
    loaded = [x.buffer for own in own_expressions(statement) for x in parts(own) if isinstance(x, Load)]
    match statement:
        case View(buffer=buffer, source=source):
            return [buffer, source, *loaded]
        case Grow(tape=tape):
            return [tape, *loaded]
        case Store(buffer=buffer):
            return [buffer, *loaded]
        case Gemm(a=a, b=b, out=out, addend=addend):
            return [a, b, out, *([] if addend is None else [addend]), *loaded]
        case Host(inputs=inputs, outputs=outputs):
            return [*inputs, *outputs]
    return loaded
