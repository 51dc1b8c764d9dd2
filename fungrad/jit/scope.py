"""Where lazy values are bound while a nest is lowered."""

from __future__ import annotations

from collections import Counter

from fungrad.ir.graph import Var
from fungrad.jit.loops import Expr, Let, Local, Statement

Indices = tuple[Expr, ...]


class Scope:
    """One innermost loop body: where lazy values are bound, each once for each index."""

    def __init__(self, body: list[Statement]) -> None:
        self.body = body
        self.bound: dict[tuple[Var, Indices], Local] = {}
        self.names: Counter[str] = Counter()

    def let(self, name: str, value: Expr) -> Local:
        """Bind a fresh local; its name is made unique in this scope."""
        self.names[name] += 1
        count = self.names[name]
        local = Local(name if count == 1 else f"{name}__{count}", value.dtype)
        self.body.append(Let(local, value))
        return local
