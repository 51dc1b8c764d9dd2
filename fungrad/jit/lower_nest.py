"""The loops of a tree of fused equations; see `fuse`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from fungrad.ir.graph import Equation
from fungrad.ir.printing import print_primitive
from fungrad.jit.fuse import Nest
from fungrad.jit.loops import (
    CHUNK_WORK,
    Apply,
    Expr,
    Index,
    Local,
    Loop,
    Note,
    Statement,
    Store,
    fitted,
    literal,
    loop_index,
    piece_bounds,
)
from fungrad.jit.lower_reduce import BLOCK, Accumulation, block_length
from fungrad.jit.lower_table import POINTWISE, is_reduction
from fungrad.jit.scope import Scope

if TYPE_CHECKING:
    from fungrad.jit.lower import Lowering

MAX_CHUNKS = 32  # of a loop; so many that a thread that is late leaves most of them to others
WHOLE_VECTORS = 64  # a chunk of a long loop is a multiple of that many rounds
SPEED = 250  # bytes of additions in a nanosecond, about
MAX_CUTS = 4  # of a loop into pieces with and without padding; beyond, each element is chosen


def equations_in(item: Nest | Equation) -> Iterator[Equation]:
    """The equations of a loop, in order."""
    if isinstance(item, Nest):
        for inner in item.items:
            yield from equations_in(inner)
    else:
        yield item


def note(item: Nest | Equation) -> Note:
    """Say in the program where loops come from."""
    equations = list(equations_in(item))
    where = equations[0].where
    names = print_primitive(equations[0].op) if len(equations) == 1 else ", ".join(eqn.op.name for eqn in equations)
    return Note(f"{os.path.basename(where.file)}:{where.line}: {names}", item.reason if isinstance(item, Nest) else "")


class NestLowering:
    """Appends the loops of one outermost loop, or of one equation outside all loops."""

    def __init__(self, state: Lowering) -> None:
        self.state = state
        self.accumulations: dict[Equation, Accumulation] = {}

    def run(self, item: Nest | Equation) -> None:
        self.state.statements.append(note(item))
        self._item(item, 0, Scope(self.state.statements))

    def _item(self, item: Nest | Equation, level: int, scope: Scope) -> None:
        if isinstance(item, Nest):
            self._loop(item, level, scope)
        elif is_reduction(item) and item in self.accumulations:
            self.accumulations[item].add(self._operand(item, scope), scope.body, exact=False)
        elif is_reduction(item):
            self._reduce_units(item, scope)
        else:
            self._pointwise(item, scope)

    def _loop(self, nest: Nest, level: int, scope: Scope) -> None:
        """One loop, with the totals it carries before and after it; in blocks if it is long and carries any."""
        state, fusion = self.state, self.state.fusion
        begun = [eqn for eqn in nest.carried if fusion.spaces[eqn.output].home == level]
        for eqn in begun:
            sums = self.accumulations[eqn] = Accumulation(state, eqn, fusion.spaces[eqn.output])
            target = state.memory(eqn.output) if sums.into_rows else None
            sums.begin(level, scope.body, "total", target)
            if target is not None:
                scope.written.add(target)
        if nest.carried and nest.extent > BLOCK:
            length = block_length(nest.extent)
            rows = any(isinstance(item, Nest) for item in nest.items)  # which may be long
            if rows and not level and not any(self.accumulations[eqn].into_rows for eqn in nest.carried):
                length = min(length, -(-nest.extent // max(1, min(MAX_CHUNKS, self._work(nest) // CHUNK_WORK))))
            self._share(
                nest,
                level,
                range(-(-nest.extent // length)),
                -(-nest.extent // length),
                scope,
                lambda first, stop, inside: self._blocks(nest, level, inside, length, first, stop),
            )
        else:
            cuts = sorted(nest.cuts) if len(nest.cuts) <= MAX_CUTS else []
            for start, end in pairwise([0, *cuts, nest.extent]):
                rounds = range(start, end)
                self._share(
                    nest,
                    level,
                    rounds,
                    nest.extent,
                    scope,
                    lambda first, stop, inside, rounds=rounds: self._rounds(  # type: ignore[misc]
                        nest, level, inside, Loop(loop_index(level), stop, [], first), rounds, inside.body
                    ),
                )
                if not level:
                    state.forget_rows()
        for eqn in begun:
            self._finish(self.accumulations.pop(eqn), scope)

    def _share(
        self, nest: Nest, level: int, rounds: range, of: int, scope: Scope, emit: Callable[[Expr, Expr, Scope], None]
    ) -> None:
        """Emit rounds: all at once, or in chunks that any thread may run, if they are worth it.

        Args:
            nest, level, scope: the loop.
            rounds: those of its rounds, or of blocks of them, that are meant.
            of: how many there are.
            emit: appends those between two bounds to a scope.
        """
        work = 0 if level else self._work(nest) * len(rounds) // max(1, of)
        chunks = min(MAX_CHUNKS, work // CHUNK_WORK, len(rounds))
        if chunks < 2 or self.state.chunk is not None:
            emit(literal(rounds.start), literal(rounds.stop), scope)
            return
        length = -(-len(rounds) // chunks)
        if nest.extent > WHOLE_VECTORS * chunks and not nest.carried:
            length = -(-length // WHOLE_VECTORS) * WHOLE_VECTORS
        count = -(-len(rounds) // length)
        chunk = Loop(Index(f"i{level}__chunk"), literal(count), work=work)
        sums = [self.accumulations[eqn] for eqn in nest.carried]
        outer = [s.total for s in sums]
        inside = Scope(chunk.body, scope, chunk.index, range(count))
        self.state.chunk = chunk
        parts = [s.begin_chunk(level, chunk) for s in sums]
        emit(*piece_bounds(chunk.index, length, rounds), inside)
        for s, part in zip(sums, parts, strict=True):
            s.end_chunk(chunk, part)
        self.state.chunk = None
        scope.body.append(chunk)
        for s, part, total in zip(sums, parts, outer, strict=True):
            assert total is not None
            s.merge_chunks(level, chunk, part, total, scope.body)

    def _work(self, nest: Nest) -> int:
        """About how many nanoseconds all rounds of an outermost loop take."""
        fusion, total = self.state.fusion, 0
        for eqn in equations_in(nest):
            elements = math.prod(fusion.spaces[eqn.output].extents)
            total += fusion.costs[eqn] * elements * eqn.output.type.dtype.itemsize
        return total // SPEED

    def _rounds(self, nest: Nest, level: int, scope: Scope, loop: Loop, rounds: range, into: list[Statement]) -> None:
        inner = Scope(loop.body, scope, loop.index, rounds)
        for item in nest.items:
            self._item(item, level + 1, inner)
        into.append(loop)  # after what is loaded before it

    def _blocks(self, nest: Nest, level: int, scope: Scope, length: int, first: Expr, stop: Expr) -> None:
        """Some blocks of rounds, each with totals of its own."""
        blocks = Loop(Index(f"i{level}__block"), stop, [], first)
        sums = [self.accumulations[eqn] for eqn in nest.carried]
        outer = [s.total for s in sums]
        for s in sums:
            s.begin(level, blocks.body, f"part{level}")
        start, end = piece_bounds(blocks.index, length, range(nest.extent))
        loop = Loop(loop_index(level), end, [], start)
        self._rounds(nest, level, scope, loop, range(nest.extent), blocks.body)
        scope.body.append(blocks)
        for s, total in zip(sums, outer, strict=True):
            assert total is not None
            s.merge(level, blocks.body, total)

    def _finish(self, sums: Accumulation, scope: Scope) -> None:
        """Keep a complete total: in memory, or as a local of the loop body it is complete in."""
        if isinstance(sums.total, Local):
            self._keep(sums.eqn, sums.index(), sums.total, scope)

    def _keep(self, eqn: Equation, index: tuple[Expr, ...], value: Expr, scope: Scope) -> None:
        """Bind a complete element where it is read again in this body, and store it where it is needed elsewhere."""
        var = eqn.output
        place = self.state.fusion.places[var]
        if place.is_local:
            local = value if isinstance(value, Local) else scope.let(self.state.names[var], value)
            scope.bound[var, index] = local
            value = local
        if place.stored:
            target = self.state.memory(var)
            scope.written.add(target)
            scope.body.append(Store(target, fitted(target, index), value))

    def _pointwise(self, eqn: Equation, scope: Scope) -> None:
        space = self.state.fusion.spaces[eqn.output]
        index = space.index(eqn.output.type.ndim)
        self._keep(eqn, index, POINTWISE[type(eqn.op)](self.state, eqn, index, scope), scope)

    def _operand(self, eqn: Equation, scope: Scope) -> Expr:
        """The element of a reduction's operand."""
        (x,) = eqn.inputs
        return self.state.read(x, self.state.fusion.spaces[eqn.output].index(x.type.ndim), scope)

    def _reduce_units(self, eqn: Equation, scope: Scope) -> None:
        """A reduction over axes of extent 1, which no loop carries."""
        sums = Accumulation(self.state, eqn, self.state.fusion.spaces[eqn.output])
        first = Apply(sums.combine, (sums.neutral, self._operand(eqn, scope)), sums.dtype)
        self._keep(eqn, sums.index(), first, scope)
