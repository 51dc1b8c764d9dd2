"""A program cut into stages, equal ones only once.

    a = x @ w1; b = tanh(a); c = b @ w2; d = tanh(c)     becomes     A(x, w1, a); B(a, b); A(b, w2, c); B(c, d)

where A and B are functions of the memory they touch. Two stages are equal if they differ only in names and in which
memory they touch. So a network of many equal layers costs the compiler as much as one layer, and no function gets
long, for which LLVM's passes take more than linear time. What it does not do: look for equal parts of stages.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from fungrad.ir.types import ArrayType
from fungrad.jit.loops import Buffer, Host, Index, Literal, Local, Note, Program, Statement
from fungrad.jit.memory_plan import arena_layout
from fungrad.jit.small_matrices import is_small


@dataclass(frozen=True, slots=True)
class Stage:
    """Some statements that one function runs."""

    body: tuple[Statement, ...]
    memory: tuple[Buffer, ...]  # the buffers without aliases, in the order in which the statements name them
    hosts: tuple[Host, ...]
    key: Hashable  # equal for stages that compute the same with other memory


def stages(program: Program) -> list[Stage]:
    """The statements of a program, cut at its notes."""
    parts: list[list[Statement]] = [[]]
    for statement in program.body:
        if isinstance(statement, Note):
            parts.append([])
        else:
            parts[-1].append(statement)
    return [_stage(part) for part in parts if part]


def form_of(program: Program) -> Any:
    """What a program computes and where its memory is, without names: its `repr` is the same in every process."""
    offsets, _ = arena_layout(program)
    places: dict[Buffer, Hashable] = {b: ("argument", i) for i, b in reversed([*enumerate(program.arguments)])}
    places |= {b: ("arena", offset) for b, offset in offsets.items()}
    parts = [(s.key, [places[b] for b in s.memory], [h.number for h in s.hosts]) for s in stages(program)]
    return parts, [b.type for b in program.arguments], len(program.hosts)


def _stage(body: Sequence[Statement]) -> Stage:
    form = _Form()
    key = form.of(tuple(body))
    return Stage(tuple(body), tuple(form.memory), tuple(form.hosts), key)


class _Form:
    """Statements as nested tuples in which names and memory are numbered in the order they appear."""

    def __init__(self) -> None:
        self.memory: dict[Buffer, int] = {}
        self.names: dict[tuple[str, str], int] = {}
        self.hosts: list[Host] = []

    def of(self, part: Any) -> Hashable:
        match part:
            case Buffer(memory=memory) if memory.role in ("view", "tape"):  # the stage's own
                return memory.role, self.number(memory.role, memory.name), part.type, memory.type
            case Buffer():
                number = self.memory.setdefault(part.memory, len(self.memory))
                return "buffer", number, part.type, part.memory.type
            case Literal(value=value):
                return "literal", value.dtype, value.tobytes()  # as bits: tells -0.0 from 0.0, and nan equals nan
            case Index(name=name):
                return "index", self.number("index", name)
            case Local(name=name, dtype=dtype):
                return "local", self.number("local", name), dtype
            case Note():
                return "note"
            case Host(op=op, inputs=inputs, outputs=outputs):
                self.hosts.append(part)  # which primitive it is does not matter if its callback is all there is
                return "host", repr(op) if is_small(op, inputs) else "", self.of(inputs), self.of(outputs)
            case tuple() | list():
                return tuple([self.of(x) for x in part])
        if is_dataclass(part):
            return type(part).__name__, *[self.of(getattr(part, f.name)) for f in fields(part)]
        assert part is None or isinstance(part, str | int | float | ArrayType | np.dtype), type(part)
        return part

    def number(self, kind: str, name: str) -> int:
        return self.names.setdefault((kind, name), len(self.names))
