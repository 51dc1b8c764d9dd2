"""What `jit` made of a function, and why: the parts of a report, and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from sys import modules
from typing import Any

from fungrad.compilation import Phases
from fungrad.ir.graph import Graph, Var
from fungrad.ir.types import ArrayType
from fungrad.jit.call import compiled
from fungrad.jit.emit_python import emit_python
from fungrad.jit.loops import Gemm, Note, Program, Statement
from fungrad.jit.lower import lowered
from fungrad.jit.memory_plan import arena_layout, lifetimes
from fungrad.jit.products import how
from fungrad.jit.reasons import Again, Part, Parts, parts, recomputed, why_host
from fungrad.jit.walk import inner_statements
from fungrad.passes import PASSES
from fungrad.passes.share import operand_key


@dataclass(frozen=True)
class Change:
    """What one pass did to the graph.

    Attributes:
        name: of the pass.
        purpose: what it is for.
        before, after: how many equations there were and are.
        operations: by how many the equations of each primitive became more or fewer.
    """

    name: str
    purpose: str
    before: int
    after: int
    operations: Mapping[str, int]

    def __str__(self) -> str:
        changed = ", ".join(f"{count:+} {name}" for name, count in self.operations.items())
        counts = f"{self.before} -> {self.after} equations"
        return f"{self.name}: {counts}{f' ({changed})' if changed else ''}. {self.purpose}"


@dataclass(frozen=True)
class Memory:
    """A place in memory.

    Attributes:
        role: `input`, `const`, `output`, `temp` or `tape`.
        bytes: how long it is; of a tape, a row.
        stages: the first and the last stage that need a temporary.
        offset: of a temporary, in the arena.
        shares: the temporaries whose memory it takes over, which are no longer needed.
    """

    name: str
    type: ArrayType
    role: str
    bytes: int
    stages: tuple[int, int] | None = None
    offset: int | None = None
    shares: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.name}: {self.type}, {self.bytes:,} bytes"
        if self.role == "tape":
            return f"{text} a step, grows while it runs"
        if self.stages is None:
            return f"{text}, {'constant' if self.role == 'const' else self.role}"
        first, last = self.stages
        needed = f"stage {first}" if first == last else f"stages {first} to {last}"
        place = f", in the place of {', '.join(self.shares)}" if self.shares else ""
        return f"{text}, {needed}, at {self.offset:,}{place}"


@dataclass(frozen=True)
class Product:
    """A matrix product (m, k) @ (k, n), or a batch of them, and how it is computed."""

    where: str
    m: int
    k: int
    n: int
    batch: int
    type: ArrayType
    how: str

    def __str__(self) -> str:
        batch = f"{self.batch} times " if self.batch > 1 else ""
        return f"{self.where}: {batch}({self.m}, {self.k}) @ ({self.k}, {self.n}): {self.how}"


@dataclass(frozen=True)
class HostCall:
    """An equation that NumPy computes, called from the native function, and why."""

    where: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.name}: {self.reason}"


@dataclass(frozen=True)
class Explanation:
    """What `jit` made of a function for some argument types; `print` shows it as a report.

    Attributes:
        name: of the function.
        reason: why it was compiled for these types.
        graph: the optimized graph that is compiled.
        changes: what the passes did that changed something, in order.
        stages: the loops and calls, each with the reason for which it is not part of what is before it.
        recomputed: the values that are computed more than once, as that is cheaper than keeping them.
        memory: arguments, constants and temporaries.
        arena_bytes: of the one block of memory in which all temporaries are.
        products: how each matrix product is computed.
        host_calls: what is left to NumPy.
        source: the loops as Python.
        phases: seconds of each phase of the compilation.
        cached: whether the machine code was found in the disk cache.
    """

    name: str
    reason: str
    graph: Graph
    changes: tuple[Change, ...]
    stages: Parts
    recomputed: tuple[Again, ...]
    memory: tuple[Memory, ...]
    arena_bytes: int
    products: tuple[Product, ...]
    host_calls: tuple[HostCall, ...]
    source: str
    phases: Phases
    cached: bool

    def __str__(self) -> str:
        temporaries = sum(m.bytes for m in self.memory if m.role == "temp")
        arena = f"the arena of temporaries: {self.arena_bytes:,} bytes, for {temporaries:,} bytes of arrays"
        took = "found in the disk cache" if self.cached else "compiled"
        sections = [
            _section("graph, after the passes", [self.graph]),
            _section("passes that changed something", self.changes),
            _section("stages, and why each begins", [self.stages] if self.stages else []),
            _section("computed again rather than kept", self.recomputed),
            _section("memory", [*self.memory, arena]),
            _section("matrix products", self.products),
            _section("left to NumPy", self.host_calls),
            _section("loops", [self.source.rstrip()]),
            _section(f"{took} in {self.phases.total}", [self.phases]),
        ]
        return "\n\n".join([f"{self.name}: {self.reason}", *filter(None, sections)])

    __repr__ = __str__


def _section(title: str, items: Sequence[Any]) -> str:
    lines = [line for item in items for line in str(item).splitlines()]
    return "\n".join([title, *(f"  {line}" for line in lines)]) if lines else ""


def explain(graph: Graph, donated: tuple[int, ...] = (), threads: int | None = None) -> Explanation:
    """Explain how a traced graph is compiled, after compiling it if it is not yet; arguments as of `compiled`."""
    found = compiled(graph, donated, threads)
    code = found.code()
    program, lowering = lowered(found.graph, donated)
    stages = parts(lowering)
    return Explanation(
        name=found.origin.name,
        reason=found.origin.reason,
        graph=found.graph,
        changes=tuple(_changes(graph)),
        stages=stages,
        recomputed=tuple(recomputed(lowering)),
        memory=tuple(_memory(program)),
        arena_bytes=code.arena_bytes,
        products=tuple(_products(program.body, "")),
        host_calls=tuple(_host_calls(stages)),
        source=emit_python(program),
        phases=Phases(found.phases),
        cached=code.cached,
    )


def _changes(graph: Graph) -> Iterator[Change]:
    for transform in PASSES:
        after = transform(graph)
        if _form(after) != _form(graph):
            more, fewer = _operations(after), _operations(graph)
            names = sorted(more | fewer)
            changed = {name: more[name] - fewer[name] for name in names if more[name] != fewer[name]}
            counts = len(graph.equations), len(after.equations)
            yield Change(transform.__name__, _purpose(transform), *counts, changed)
        graph = after


def _purpose(transform: Callable[[Graph], Graph]) -> str:
    """The first sentence of a pass's module."""
    return (modules[transform.__module__].__doc__ or "").partition("\n")[0]


def _operations(graph: Graph) -> Counter[str]:
    return Counter(eqn.op.name for eqn in graph.equations)


def _form(graph: Graph) -> Any:
    """Equal for graphs that differ only in their variables."""
    numbers: dict[Var, int] = {}

    def operand(x: Any) -> Any:
        return numbers.setdefault(x, len(numbers)) if isinstance(x, Var) else operand_key(x)

    inputs = [operand(x) for x in graph.inputs]
    equations = [(eqn.op, [*map(operand, eqn.inputs)], [*map(operand, eqn.outputs)]) for eqn in graph.equations]
    return inputs, equations, [operand(x) for x in graph.outputs]


def _memory(program: Program) -> Iterator[Memory]:
    for buffer in (*program.arguments, *program.tapes):
        yield Memory(buffer.name, buffer.type, buffer.role, buffer.type.nbytes)
    needed = lifetimes(program)
    offsets, _ = arena_layout(program)
    placed: list[tuple[str, range]] = []
    for buffer, offset in offsets.items():
        span = range(offset, offset + buffer.type.nbytes)
        shares = [name for name, other in placed if span.start < other.stop and other.start < span.stop]
        placed = [(name, x) for name, x in placed if not span.start <= x.start <= x.stop <= span.stop]
        placed.append((buffer.name, span))
        yield Memory(buffer.name, buffer.type, "temp", len(span), needed[buffer], offset, tuple(shares))


def _products(statements: Sequence[Statement], where: str) -> Iterator[Product]:
    for statement in statements:
        if isinstance(statement, Note):
            where = _place(statement.text)
        elif isinstance(statement, Gemm):
            s = statement
            yield Product(where, s.m, s.k, s.n, s.batch, s.out.type, how(s))
        yield from _products(inner_statements(statement), where)


def _place(note: str) -> str:
    return note.partition(": ")[0]


def _host_calls(stages: Sequence[Part]) -> Iterator[HostCall]:
    for stage in stages:
        for part in stage.walk():
            for eqn in part.equations:
                reason = why_host(eqn)
                if reason:
                    yield HostCall(f"{eqn.where.file.rpartition('/')[2]}:{eqn.where.line}", eqn.op.name, reason)
