"""Where values are bound to locals while loops are lowered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count
from math import inf, prod

from fungrad.ir.graph import Var
from fungrad.jit.loops import Apply, Buffer, Expr, Index, Let, Literal, Load, Local, Statement, scalars_in

Indices = tuple[Expr, ...]


class Scope:
    """One loop body: where values are bound, each once for each index. Sees what the bodies around it have bound."""

    def __init__(
        self,
        body: list[Statement],
        parent: Scope | None = None,
        index: Index | None = None,
        rounds: range | None = None,
    ) -> None:
        self.body = body
        self.parent = parent
        self.index = index
        self.rounds = rounds  # what the index runs over; how often the body runs
        self.bound: dict[tuple[Var, Indices], Local] = {}
        self.locals: set[Index | Local] = set()
        self.held: dict[tuple[Buffer, Indices], Local] = {}
        self.fresh: Iterator[int] = count() if parent is None else parent.fresh
        self.written: set[Buffer] = set() if parent is None else parent.written  # by the loops that are open
        self.names: Counter[str] = Counter() if parent is None else parent.names.copy()

    def let(self, name: str, value: Expr) -> Local:
        """Bind a fresh local; its name differs from those of this body and the bodies around it."""
        self.names[name] += 1
        number = self.names[name]
        local = Local(name if number == 1 else f"{name}__{number}", value.dtype)
        self.body.append(Let(local, value))
        self.locals.add(local)
        return local

    def times(self) -> int | None:
        """How often this body runs, or None where that is not known."""
        lengths = []
        scope: Scope | None = self
        while scope is not None:
            lengths += [] if scope.rounds is None else [len(scope.rounds)]
            scope = scope.parent
        return prod(lengths) if lengths else None

    def find(self, x: Var, index: Indices) -> Local | None:
        """The local that holds an element of `x`."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.bound.get((x, index))
            if found is not None:
                return found
            scope = scope.parent
        return None

    def load(self, buffer: Buffer, index: Indices) -> Expr:
        """An element of a buffer. One that is the same in all rounds of the loop is loaded before it."""
        inner = {i for x in index for i in scalars_in(x)}
        scope = self
        while scope.parent is not None and scope.index not in inner and not inner & scope.locals:
            scope = scope.parent
        if scope is self or buffer.memory in self.written:
            return Load(buffer, index)
        if (buffer, index) not in scope.held:
            local = Local(f"{buffer.name}__at{next(self.fresh)}", buffer.type.dtype)
            scope.body.append(Let(local, Load(buffer, index)))
            scope.locals.add(local)
            scope.held[buffer, index] = local
        return scope.held[buffer, index]

    def bounds(self, index: Expr) -> tuple[float, float]:
        """The least and the greatest value an index can have, as far as the loops tell."""
        match index:
            case Literal(value=value):
                return int(value), int(value)
            case Index():
                scope: Scope | None = self
                while scope is not None:
                    if scope.index == index and scope.rounds is not None:
                        return scope.rounds.start, scope.rounds.stop - 1
                    scope = scope.parent
            case Apply(op="add" | "sub" | "mul" as op, args=(x, y)) if isinstance(y, Literal) and y.value >= 0:
                change = {"add": int.__add__, "sub": int.__sub__, "mul": int.__mul__}[op]
                low, high = self.bounds(x)
                if isinstance(low, int) and isinstance(high, int):
                    return change(low, int(y.value)), change(high, int(y.value))
        return -inf, inf
