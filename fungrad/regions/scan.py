"""`Scan`: a loop of known length over the rows of arrays.

    for row in range(length):            # downwards if `reverse`
        carry, y[row] = body(consts, carry, x[row])

Operands are the consts, the first carries and the xs; results are the last carries, the ys and, for the carries that
`history` names, all their values: length + 1 rows, of which row and row + 1 lie on the two sides of step `row`. The
backward pass is a scan in the opposite direction that reads the history (see `step_back`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from fungrad.effects import quiet_primitive
from fungrad.errors import ShapeError
from fungrad.evaluate import evaluate
from fungrad.ir.graph import Graph
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType, array_type
from fungrad.primitives.create import full
from fungrad.regions.derived import (
    Derived,
    Flags,
    chosen,
    grown,
    jvp_graph,
    needed,
    output_types,
    rearranged,
    restricted_graph,
    spread_out,
)
from fungrad.regions.examples import all_batched, dependent, examples_of, moved
from fungrad.regions.region import Dual, Region, numbered
from fungrad.regions.residuals import with_residuals
from fungrad.regions.step_back import Step, StepBack, step_back
from fungrad.trace import Tracer, bind
from fungrad.transforms.batch import repeat


@dataclass(frozen=True, slots=True)
class Scan(Region):
    """A loop over rows; see the module."""

    body: Graph
    length: int
    consts: int
    carries: int
    reverse: bool = False
    history: tuple[int, ...] = ()

    @property
    def step(self) -> Step:
        return Step(self.body, self.consts, self.carries)

    def graphs(self, *types: ArrayType) -> Sequence[Graph]:
        return (self.body,)

    def rows(self) -> range:
        """The rows in the order of the steps."""
        return range(self.length - 1, -1, -1) if self.reverse else range(self.length)

    def split(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Operands, or the body's inputs, as consts, carries, xs."""
        stop = self.consts + self.carries
        return list(values[: self.consts]), list(values[self.consts : stop]), list(values[stop:])

    def split_results(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Results as last carries, ys, histories."""
        stop = len(self.body.outputs)
        return list(values[: self.carries]), list(values[self.carries : stop]), list(values[stop:])

    def infer(self, *types: ArrayType) -> Any:
        consts, carries, xs = self.split(types)
        rows = [array_type(x.shape[1:], x.dtype) for x in xs if x.shape[:1] == (self.length,)]
        expected = [v.type for v in self.body.inputs]
        if [*consts, *carries, *rows] != expected:
            raise ShapeError(f"scan of {self.length} steps: operands {types}, the body takes {expected}")
        last, ys, _ = self.split_results(output_types(self.body))
        if last != carries:
            raise ShapeError(f"scan: the body turns carries {carries} into {last}")
        stacked = [array_type((self.length, *t.shape), t.dtype) for t in ys]
        histories = [array_type((self.length + 1, *carries[i].shape), carries[i].dtype) for i in self.history]
        return (*last, *stacked, *histories)

    def evaluate(self, *arrays: Any) -> Any:
        consts, carries, xs = self.split(arrays)
        _, ys, histories = self.split_results(
            [np.empty(t.shape, t.dtype) for t in self.infer(*(array_type(x.shape, x.dtype) for x in arrays))]
        )
        for row, before, _ in self._positions():
            for i, h in zip(self.history, histories, strict=True):
                h[before] = carries[i]
            outs = evaluate(self.body, *consts, *carries, *[x[row] for x in xs])
            carries = outs[: self.carries]
            for y, out in zip(ys, outs[self.carries :], strict=True):
                y[row] = out
        for i, h in zip(self.history, histories, strict=True):
            h[0 if self.reverse else self.length] = carries[i]
        return (*carries, *ys, *histories)

    def _positions(self) -> Iterator[tuple[int, int, int]]:
        """For each step its row, and the rows of a history before and after it."""
        for row in self.rows():
            yield (row, row + 1, row) if self.reverse else (row, row, row + 1)

    def dual(self, given: Flags) -> Dual:
        return _dual(self, given)

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        if len(self.history) < self.carries:
            op: Scan = quiet_primitive(self).recorded
            last, ys, some = self.split_results(ct)
            more = [None] * (op.step.ys - self.step.ys)
            return op.vjp((*last, *ys, *more, *spread_out(some, self._kept)), inputs, bind(op, *inputs), wanted)
        consts, _, xs = self.split(inputs)
        _, ys, histories = self.split_results(out)
        ct_last, ct_ys, ct_histories = self.split_results(ct)
        back = step_back(self.step, _given(ct_last), _given(ct_histories), _given(ct_ys), tuple(wanted))
        early, late = (slice(1, None), slice(None, -1)) if self.reverse else (slice(None, -1), slice(1, None))
        totals = [full(x.shape, 0, x.dtype) for x in chosen(consts, back.totals)]
        starts = [full(h.shape[1:], 0, h.dtype) if c is None else c for c, h in zip(ct_last, histories, strict=True)]
        extra = chosen(ct_histories, back.carries)
        found = bind(
            _backward(self, back),
            *consts,
            *totals,
            *chosen(starts, back.carries),
            *(h[early] for h in histories),
            *xs,
            *(h[late] for h in histories),
            *ys,
            *(c for c in ct_ys if c is not None),
            *(c[late] for c in extra if c is not None),
        )
        n_totals, n_carries = sum(back.totals), sum(back.carries)
        ct_first = list(found[n_totals : n_totals + n_carries])
        for i, c in enumerate(extra):
            if c is not None:
                ct_first[i] = ct_first[i] + c[-1 if self.reverse else 0]
        firsts = spread_out(ct_first, back.carries)
        return [
            *spread_out(found[:n_totals], back.totals),
            *(c if asked else None for c, asked in zip(firsts, self.split(wanted)[1], strict=True)),
            *spread_out(found[n_totals + n_carries :], back.xs),
        ]

    @property
    def recorded(self) -> Scan:
        """This loop, keeping what the backward pass reads: all carries, and what is expensive to compute again."""
        return replace(self, body=with_residuals(self.step), history=tuple(range(self.carries)))

    @property
    def _kept(self) -> Flags:
        return tuple(i in self.history for i in range(self.carries))

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        op, carried = _batched(self, size, tuple(batched))
        consts, first, xs = self.split(inputs)
        _, has_first, has_xs = self.split(batched)
        rows = [moved(x, 0, 1) if has else x for x, has in zip(xs, has_xs, strict=True)]
        found = op.bound(*consts, *all_batched(first, has_first, carried, size), *rows)
        last, ys, histories = self.split_results(found)
        kept = [moved(h, 1, 0) if carried[i] else repeat(h, size) for i, h in zip(self.history, histories, strict=True)]
        return (*all_batched(last, carried, [True] * len(last), size), *(moved(y, 1, 0) for y in ys), *kept)

    def bound(self, *operands: Any) -> Sequence[Any]:
        """The results; where derivatives are being recorded, what these need is kept, unseen."""
        if not self.history and any(type(x) is Tracer and x.owner.concrete for x in operands):
            found: Sequence[Any] = bind(self.recorded, *operands)
            return found[: len(self.body.outputs)]
        return bind(self, *operands)  # type: ignore[no-any-return]

    def restricted(self, used: Sequence[bool]) -> tuple[Primitive, Flags, Flags] | None:
        last, ys, histories = self.split_results(used)
        kept = tuple(i for i, flag in zip(self.history, histories, strict=True) if flag)
        carries = grown(
            tuple(flag or i in kept for i, flag in enumerate(last)),
            lambda carries: self.split(needed(self.body, (*carries, *ys)))[1],
        )
        consts, _, xs = self.split(needed(self.body, (*carries, *ys)))
        operands = (*consts, *carries, *xs)
        results = (*carries, *ys, *(i in kept for i in self.history))
        if all(operands) and all(results):
            return None
        renumbered = [sum(carries[:i]) for i in kept]
        op = Scan(
            restricted_graph(self.body, operands, (*carries, *ys)),
            self.length,
            sum(consts),
            sum(carries),
            self.reverse,
            tuple(renumbered),
        )
        return op, operands, results


def _given(cts: Sequence[Any]) -> Flags:
    return tuple(c is not None for c in cts)


@lru_cache(maxsize=1024)
def _backward(op: Scan, back: StepBack) -> Scan:
    """The scan of the backward pass."""
    return Scan(back.graph, op.length, op.consts, sum(back.totals) + sum(back.carries), not op.reverse)


@lru_cache(maxsize=1024)
def _batched(op: Scan, size: int, batched: Flags) -> tuple[Scan, Flags]:
    """The scan of all examples, and which carries differ between them. Examples are axis 1 of xs and ys."""
    consts, carries, xs = map(tuple, op.split(batched))
    carries = grown(carries, lambda carries: dependent(op.body, (*consts, *carries, *xs))[: op.carries])
    body = examples_of(op.body, size, (*consts, *carries, *xs), (*carries, *(True,) * op.step.ys))
    return replace(op, body=body), carries


@lru_cache(maxsize=1024)
def _dual(op: Scan, given: Flags) -> Dual:
    t_consts, t_carries, t_xs = map(tuple, op.split(given))
    body = op.body

    def derive(t_carries: Flags) -> Derived:
        return jvp_graph(body, (*t_consts, *t_carries, *t_xs), (*t_carries, *(False,) * op.step.ys))

    t_carries = grown(t_carries, lambda t_carries: derive(t_carries).present[: op.carries])
    derived = derive(t_carries)
    n, n_in, n_out = op.carries, len(body.inputs), len(body.outputs)
    t_ys = derived.present[n:]
    moving = chosen(range(n), t_carries)
    # the derived body takes (consts, carries, xs, tangents of each) and returns (carries, ys, tangents of each)
    d_consts, d_carries, d_xs = _cut(range(n_in, len(derived.graph.inputs)), [sum(t_consts), len(moving)])
    consts, carries, xs = op.split(range(n_in))
    d_last, d_ys = _cut(range(n_out, len(derived.graph.outputs)), [len(moving)])
    dual = Scan(
        rearranged(
            derived.graph,
            [*consts, *d_consts, *carries, *d_carries, *xs, *d_xs],
            [*range(n), *d_last, *range(n, n_out), *d_ys],
        ),
        op.length,
        len(consts) + len(d_consts),
        n + len(moving),
        op.reverse,
        (*op.history, *(n + moving.index(i) for i in op.history if i in moving)),
    )
    # operands are numbered with the tangents given, of which some carries have none
    tangent = numbered(given, n_in)
    g_consts, g_carries, g_xs = op.split(tangent)
    starts = [body.inputs[op.consts + i].type if g_carries[i] is None else g_carries[i] for i in moving]
    operands = [*consts, *chosen(g_consts, t_consts), *carries, *starts, *xs, *chosen(g_xs, t_xs)]
    ys_at = n + len(moving)
    histories_at = ys_at + n_out - n + sum(t_ys)
    t_histories = tuple(i in moving for i in op.history)
    tangents = [
        *numbered(t_carries, n),
        *numbered(t_ys, ys_at + n_out - n),
        *numbered(t_histories, histories_at + len(op.history)),
    ]
    results = [*range(n), *range(ys_at, ys_at + n_out - n), *range(histories_at, histories_at + len(op.history))]
    return Dual(dual, operands, results, tangents)


def _cut(positions: range, counts: Sequence[int]) -> list[range]:
    """Positions in consecutive groups of the given sizes, the rest in a last one."""
    groups = []
    for count in counts:
        groups.append(positions[:count])
        positions = positions[count:]
    return [*groups, positions]
