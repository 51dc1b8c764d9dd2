"""Where values are bound to locals while loops are lowered."""

from __future__ import annotations

from collections import Counter

from fungrad.ir.graph import Var
from fungrad.jit.loops import Expr, Let, Local, Statement

Indices = tuple[Expr, ...]


class Scope:
    """One loop body: where values are bound, each once for each index. Sees what the bodies around it have bound."""

    def __init__(self, body: list[Statement], parent: Scope | None = None) -> None:
        self.body = body
        self.parent = parent
        self.bound: dict[tuple[Var, Indices], Local] = {}
        self.names: Counter[str] = Counter() if parent is None else parent.names.copy()

    def let(self, name: str, value: Expr) -> Local:
        """Bind a fresh local; its name differs from those of this body and the bodies around it."""
        self.names[name] += 1
        count = self.names[name]
        local = Local(name if count == 1 else f"{name}__{count}", value.dtype)
        self.body.append(Let(local, value))
        return local

    def find(self, x: Var, index: Indices) -> Local | None:
        """The local that holds an element of `x`."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.bound.get((x, index))
            if found is not None:
                return found
            scope = scope.parent
        return None
