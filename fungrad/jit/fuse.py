"""Which loops compute which equations: a graph as a tree of loops.

    a = reduce_max[axes=(1,)] x ; b = exp (x - a) ; c = sum[axes=(1,)] b ; y = b / c

becomes, for x of shape (8, 100), one pass over the rows:

    for 8 rows
        for 100 columns: a
        for 100 columns: b, c
        for 100 columns: y

The loops of an equation run over the axes of its result, those of a reduction over the axes it keeps and then over
those it reduces; axes of extent 1 need no loop. Two equations share their outer loops as far as the extents agree and
the second reads, in each round, only what the first has completed in the same round. Equations are placed in order,
each into the last loops that fit, which takes time linear in their number. Loops that are not shared begin for a
`reason`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fungrad.ir.graph import Equation, Graph, Var
from fungrad.ir.types import ArrayType
from fungrad.jit.checked_index import Pick, Put
from fungrad.jit.inline import Inlining
from fungrad.jit.loops import Expr, literal, loop_index
from fungrad.jit.lower_table import is_pointwise, is_reduction, is_view
from fungrad.primitives.cost import cost_of
from fungrad.primitives.reduce import Reduce, Sum
from fungrad.primitives.shape import Broadcast, Flip, Pad, Slice, Transpose

BODY_COST = 400  # of the statements of an innermost loop, in additions: bounds compile time and registers
NEST_COST = 2000  # of all loops inside an outermost one


@dataclass(eq=False, slots=True)
class Nest:
    """A loop and what it contains: loops and equations. The whole program is one of extent 1.

    Attributes:
        position: where it is in the items of the loop around it.
        reason: why it is not part of earlier loops.
        carried: reductions that accumulate over the rounds of this loop.
        latest: the last loop inside, by extent.
        spaces: the extents of the loops inside of each equation.
        cuts: indices at which padding begins or ends.
        cost: of a round, in additions.
    """

    extent: int = 1
    position: int = 0
    reason: str = ""
    items: list[Nest | Equation] = field(default_factory=list)
    carried: list[Equation] = field(default_factory=list)
    latest: dict[int, Nest] = field(default_factory=dict)
    spaces: set[tuple[int, ...]] = field(default_factory=set)
    cuts: set[int] = field(default_factory=set)
    cost: int = 0


@dataclass(eq=False, slots=True)
class Place:
    """Where an equation is computed.

    Attributes:
        path: the loops around it, outermost first, beginning with the program.
        position: where it is in the items of the innermost.
        home: how many loops are around the point where its result is complete.
        shared: how many loops all its readers share with that point: outside them, the result is not needed.
        read_at_home: whether something reads the result right where it is complete.
    """

    path: list[Nest]
    position: int
    home: int
    shared: int
    read_at_home: bool = False

    @property
    def stored(self) -> bool:
        """Whether the result goes to memory. Outside all loops everything does."""
        return self.shared < self.home or self.home == 0

    @property
    def is_local(self) -> bool:
        """Whether an element of the result is bound where it is complete."""
        return self.read_at_home and self.home > 0

    def position_in(self, depth: int) -> int:
        """The position, among the items of `path[depth]`, of the item this equation is in."""
        return self.path[depth + 1].position if len(self.path) > depth + 1 else self.position


@dataclass(frozen=True, slots=True)
class LoopSpace:
    """The loops of an equation: its axes, outermost first; those from `home` on are reduced or accumulated into."""

    axes: tuple[int, ...]
    extents: tuple[int, ...]
    home: int

    def index(self, rank: int) -> tuple[Expr, ...]:
        """The element of a round: the loops' indices at their axes, 0 elsewhere."""
        levels = {axis: level for level, axis in enumerate(self.axes)}
        return tuple(loop_index(levels[axis]) if axis in levels else literal(0) for axis in range(rank))


def loop_space(eqn: Equation) -> LoopSpace | None:
    """The loops of an equation that can share them; None for a stage with loops of its own."""
    if is_pointwise(eqn):
        shape = eqn.output.type.shape
        axes = tuple(i for i, n in enumerate(shape) if n != 1)
        return LoopSpace(axes, tuple(shape[i] for i in axes), len(axes))
    if not is_reduction(eqn):
        return None
    assert isinstance(eqn.op, Sum | Reduce)
    shape = eqn.inputs[0].type.shape
    axes = tuple(i for i, n in enumerate(shape) if n != 1)
    reduced = [i for i in axes if i in eqn.op.axes]
    home = axes.index(reduced[0]) if reduced else len(axes)
    if reduced and reduced[-1] == axes[-1]:  # one accumulator for each element of the result
        kept = tuple(i for i in axes if i not in reduced)
        axes, home = (*kept, *reduced), len(kept)
    return LoopSpace(axes, tuple(shape[i] for i in axes), home)


def aligned(eqn: Equation, x: ArrayType, depth: int) -> int:
    """How many leading axes of operand `x` an inlined equation reads at the indices of its own `depth` leading axes.

    Axes of extent 1 do not count.
    """
    out = eqn.output.type.shape
    count = 0
    match eqn.op:
        case Broadcast():
            new = len(out) - x.ndim
            if any(n != 1 for n in out[:new]):
                return 0
            for n, m in zip(x.shape, out[new:], strict=True):
                if n != m:
                    break
                count += n != 1
        case Transpose(axes):
            before = [i for i, n in enumerate(x.shape) if n != 1]
            for i, j in zip(before, [i for i in axes if x.shape[i] != 1], strict=True):
                if i != j:
                    break
                count += 1
        case Slice(starts, _, steps):
            for n, m, start, step in zip(x.shape, out, starts, steps, strict=True):
                if n != m or start != 0 or step != 1:
                    break
                count += n != 1
        case Pad(before, after):
            if x.ndim == len(out):  # the fill value otherwise
                for n, b, a in zip(x.shape, before, after, strict=True):
                    if b or a:
                        break
                    count += n != 1
        case Flip(axes):
            for i, n in enumerate(x.shape):
                if n != 1 and i in axes:
                    break
                count += n != 1
        case Pick(counted):
            loops = [axis for axis, n in enumerate(out) if n != 1]
            for axis, n in zip(counted, x.shape, strict=False):
                if n == 1 and axis is not None:
                    continue
                if count == len(loops) or axis != loops[count] or n != out[axis]:
                    break
                count += 1
        case Put(counted):  # of the updates and positions
            loops = [axis for axis, n in enumerate(out) if n != 1]
            for axis, n in enumerate(x.shape):
                if n == 1:
                    continue
                if axis not in counted or counted.index(axis) != loops[count]:
                    break
                count += 1
        case _ if is_view(eqn):
            rows = [n for n in x.shape if n != 1], [n for n in out if n != 1]
            for n, m in zip(*rows, strict=False):
                if n != m:
                    break
                count += 1
        case _:
            return depth
    return min(depth, count)


def pad_edges(eqn: Equation, depth: int) -> Iterator[tuple[int, int]]:
    """The loops, of `depth` in step, in which an inlined pad changes between its operand and the fill value, and the
    indices where it does."""
    if isinstance(eqn.op, Pad):
        out, x = eqn.output.type.shape, eqn.inputs[0].type.shape
        axes = [i for i, n in enumerate(out) if n != 1][:depth]
        for level, axis in enumerate(axes):
            first = eqn.op.before[axis]
            yield from ((level, cut) for cut in (first, first + x[axis]) if 0 < cut < out[axis])


class Fusion:
    """The tree of loops of a graph and the place of each equation that is not inlined."""

    def __init__(self, graph: Graph, inlining: Inlining) -> None:
        self.program = Nest()
        self.places: dict[Var, Place] = {}
        self.spaces: dict[Var, LoopSpace] = {}
        self.costs: dict[Equation, int] = {}  # of an element, in additions, what is inlined included
        self.inlining = inlining
        for eqn in graph.equations:
            if not any(var in inlining.inlined for var in eqn.outputs):
                self._place(eqn)
        for x in graph.outputs:
            if isinstance(x, Var):
                for var, _ in self._sources(x, 0):
                    self._needs_memory(var)

    def _needs_memory(self, var: Var) -> None:
        if var in self.places:
            self.places[var].shared = 0

    def _place(self, eqn: Equation) -> None:
        """Choose the loops of an equation."""
        space = loop_space(eqn)
        depths, edges, cost = self._reads(eqn, space)
        self.costs[eqn] = cost
        path = [self.program]
        if space is None:
            place = Place(path, len(self.program.items), 0, 0)
        else:
            for depth in range(len(space.extents)):
                path.append(self._loop(path, space.extents[depth:], depths, cost))
            place = Place(path, len(path[-1].items), space.home, space.home)
            if isinstance(eqn.op, Sum | Reduce):
                for loop, axis in zip(path[1:], space.axes, strict=True):
                    if axis in eqn.op.axes:
                        loop.carried.append(eqn)
            for loop in path:
                loop.cost += cost
            for level, cut in edges:
                path[level + 1].cuts.add(cut)
        path[-1].items.append(eqn)
        for var in eqn.outputs:
            self.places[var] = place
            if space is not None:
                self.spaces[var] = space
            if var in self.inlining.in_memory:
                place.shared = 0
        for var in depths:
            self._note_reader(self.places[var], place)

    def _note_reader(self, source: Place, reader: Place) -> None:
        """Remember how far the result of `source` must be visible."""
        common = 0
        for a, b in zip(source.path[1:], reader.path[1:], strict=False):
            if a is not b:
                break
            common += 1
        if common >= source.home:
            source.read_at_home = True
        source.shared = min(source.shared, common)

    def _loop(self, path: list[Nest], extents: tuple[int, ...], depths: dict[Var, int], cost: int) -> Nest:
        """The loop in which an equation continues inside the loops of `path`: the last that fits, or a new one."""
        around, depth = path[-1], len(path) - 1
        extent, room = extents[0], (NEST_COST if len(extents) > 1 else BODY_COST) - cost
        first, related = 0, -1
        for var, shared in depths.items():
            place = self.places[var]
            if len(place.path) > depth and place.path[depth] is around:
                position = place.position_in(depth)
                inside = shared > depth and len(place.path) > depth + 1
                first = max(first, position if inside else position + 1)
                related = max(related, position if inside else -1)
        found = around.latest.get(extent)
        if found is None:
            reason = f"no loop over {extent} before"
        elif found.position < first:
            reason = "an operand is complete only after the loops before"
        elif found.cost > room:
            reason = "the loops before are long enough"
        elif found.position != related and extents[1:] not in found.spaces:
            reason = "the loops before compute something else"
        else:
            found.spaces.add(extents[1:])
            return found
        new = around.latest[extent] = Nest(extent, len(around.items), reason)
        new.spaces.add(extents[1:])
        around.items.append(new)
        return new

    def _reads(self, eqn: Equation, space: LoopSpace | None) -> tuple[dict[Var, int], list[tuple[int, int]], int]:
        """The placed values an equation reads, each with how many loops it may share with it; the edges of padding; and
        what an element costs."""
        depth = 0
        if space is not None:
            depth = len(space.axes)
            if is_reduction(eqn):
                natural = sorted(space.axes)
                depth = next((i for i, (a, b) in enumerate(zip(space.axes, natural, strict=True)) if a != b), depth)
        found: dict[Var, int] = {}
        seen: dict[Var, int] = {}
        cost = 1 + cost_of(eqn)
        for x in eqn.inputs:
            if isinstance(x, Var):
                in_step = depth if space is None or is_reduction(eqn) else aligned(eqn, x.type, depth)
                for var, shared in self._sources(x, in_step, seen):
                    found[var] = min(found.get(var, shared), shared)
        cost += sum(cost_of(self.inlining.inlined[x]) for x in seen)
        edges = [] if space is None or is_reduction(eqn) else list(pad_edges(eqn, depth))
        edges += [edge for y, at in seen.items() for edge in pad_edges(self.inlining.inlined[y], at)]
        return found, edges, cost

    def _sources(self, x: Var, depth: int, seen: dict[Var, int] | None = None) -> Iterator[tuple[Var, int]]:
        """The placed values that computing `x` reads, each with the number of leading axes read in step."""
        seen = {} if seen is None else seen
        pending = [(x, depth)]
        while pending:
            x, depth = pending.pop()
            eqn = self.inlining.inlined.get(x)
            if eqn is None:
                if x in self.places:
                    yield x, min(depth, self.places[x].home)
            elif seen.get(x, depth + 1) > depth:
                seen[x] = depth
                pending += [(y, aligned(eqn, y.type, depth)) for y in eqn.inputs if isinstance(y, Var)]
