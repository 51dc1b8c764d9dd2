"""Statements and expressions of the loop IR -> LLVM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llvmlite import ir

from fungrad.ir.types import DType
from fungrad.jit import shared_products, small_matrices
from fungrad.jit.assumptions import Assume, accumulators, is_serial, is_worthwhile
from fungrad.jit.c_library import libc
from fungrad.jit.counted_loop import counted_loop
from fungrad.jit.llvm_types import I8, I64, constant, memory_type, register_type
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
    Piece,
    Program,
    Repeat,
    Statement,
    Store,
    View,
    int_value,
    piece,
)
from fungrad.jit.native_math import ScalarMath
from fungrad.jit.outline import call_rounds
from fungrad.jit.products import Product, pieces, product_work
from fungrad.jit.vectormath import FUNCTIONS
from fungrad.jit.vectors_abreast import vectors_abreast
from fungrad.jit.walk import buffers_in, free_scalars, inner_statements, own_expressions, parts, views_in

LAID_OUT = 16  # statements of a loop that is not one in machine code
FUNCTION = 4  # statements that an elementary function is as long as, at least
OUT_OF_MEMORY = -2


def no_memory(program: Program) -> str:
    """What the error says that this status stands for."""
    return f"{program.name}: there is no memory for the steps of a loop, kept for its derivative."


def pointer_type(buffer: Buffer) -> ir.Type:
    """The type of the address of a buffer's memory."""
    return memory_type(buffer.type.dtype).as_pointer()


def _rounds(statement: Statement) -> int:
    """How many statements one runs; loops without known bounds and elementary functions count as long."""
    inside = sum(map(_rounds, inner_statements(statement)))
    if not isinstance(statement, Loop):
        every = (x for own in own_expressions(statement) for x in parts(own))
        functions = sum(isinstance(x, Apply) and x.op in FUNCTIONS for x in every)
        return 1 + FUNCTION * functions + inside
    first, stop = int_value(statement.start), int_value(statement.stop)
    return LAID_OUT + 1 if first is None or stop is None else max(0, stop - first) * inside


def _tapes(statements: Sequence[Statement]) -> list[Buffer]:
    """The tapes that statements grow, each once."""
    found: dict[Buffer, None] = {}
    for statement in statements:
        if isinstance(statement, Grow):
            found[statement.tape] = None
        found |= dict.fromkeys(_tapes(inner_statements(statement)))
    return list(found)


class Emitter:
    """Emits statements into one function."""

    def __init__(
        self,
        function: ir.Function,
        pointers: Mapping[Buffer, ir.Value],
        scalars: Mapping[str, ir.Value],
        callbacks: Mapping[int, ir.Value],
        threads: ir.Value,
        shared_work: int = 0,
    ) -> None:
        """
        Args:
            function: without a body.
            pointers: of the memory the statements touch.
            scalars: locals and indices that are defined outside, by name.
            callbacks: of host calls, by number.
            threads: how many may work on loops whose rounds are independent.
            shared_work: nanoseconds of all rounds of a loop of which the function is one round.
        """
        self.entry = ir.IRBuilder(function.append_basic_block("entry"))
        self.b = ir.IRBuilder(function.append_basic_block("body"))
        self.math = ScalarMath(self.b)
        self.locals = dict(scalars)
        self.settled = False  # whether a loop around the statement that is emitted is one of two versions
        self.slots: dict[tuple[str, DType], ir.Value] = {}
        self.scalars: dict[tuple[str, Any], ir.Value] = {}
        self.pointers = dict(pointers)
        self.callbacks = callbacks
        self.threads = threads
        self.shared_work = shared_work
        self.tapes: dict[Buffer, tuple[ir.Value, ir.Value]] = {}  # where the memory and its number of rows are kept

    def pointer(self, buffer: Buffer) -> ir.Value:
        """The start of a buffer's memory."""
        memory = buffer.memory
        return self.b.load(self.tapes[memory][0]) if memory in self.tapes else self.pointers[memory]

    def run(self, statements: Sequence[Statement]) -> None:
        body = self.b.block
        for tape in _tapes(statements):
            type = memory_type(tape.type.dtype).as_pointer()
            self.tapes[tape] = self.entry.alloca(type), self.entry.alloca(I64)
            for slot, nothing in zip(self.tapes[tape], (type(None), I64(0)), strict=True):
                self.entry.store(nothing, slot)
        self.statements(statements)
        self.leave(0)
        self.entry.branch(body)

    def leave(self, status: int) -> None:
        """Free the tapes and return."""
        for place, _ in self.tapes.values():
            self.b.call(libc(self.b.module, "free", ir.VoidType(), [I8.as_pointer()]), [self.bytes(self.b.load(place))])
        self.b.ret(I64(status))

    def leave_unless(self, ok: ir.Value, status: int) -> None:
        """Go on if a condition holds, else leave."""
        fail, go_on = self.b.append_basic_block("fail"), self.b.append_basic_block("ok")
        self.b.cbranch(ok, go_on, fail)
        self.b.position_at_end(fail)
        self.leave(status)
        self.b.position_at_end(go_on)

    # -- statements --------------------------------------------------------------------------------

    def statement(self, statement: Statement) -> None:
        match statement:
            case Note():
                pass
            case Loop(work=work) if work:
                self.share(statement)
            case Loop():
                if not self.settled and is_worthwhile(statement):
                    self.twice(statement)
                else:
                    self.nest(statement)
            case Repeat():
                self.repeat(statement)
            case Choose():
                self.choose(statement)
            case View(buffer=buffer, source=source, row=row):
                offset = self.b.mul(self.expr(row), I64(buffer.type.size))
                self.pointers[buffer] = self.b.gep(self.pointer(source), [offset])
            case Grow(tape=tape, rows=rows):
                self.grow(tape, self.expr(rows))
            case Let(local=local, value=value):
                self.locals[local.name] = self.expr(value)
            case Assign(local=local, value=value):
                self.b.store(self.expr(value), self.slot(local))
            case Store(buffer=buffer, index=index, value=value):
                number = self.expr(value)
                if buffer.type.dtype.kind == "b":
                    number = self.b.zext(number, I8)
                self.b.store(number, self.element(buffer, index))
            case Guard(ok=ok, number=number):
                self.leave_unless(self.expr(ok), number + 1)
            case Gemm():
                self.gemm(statement)
            case Host():
                self.host(statement)

    def statements(self, body: Sequence[Statement]) -> None:
        for statement in body:
            self.statement(statement)

    def nest(self, loop: Loop) -> None:
        """A loop; a short one of a few statements is laid out in a row."""
        around, self.math.branching = self.math.branching, is_serial(loop)
        first, stop = int_value(loop.start), int_value(loop.stop)
        if first is not None and stop is not None and _rounds(loop) <= LAID_OUT:
            for i in range(first, stop):
                self.locals[loop.index.name] = I64(i)
                self.statements(loop.body)
        else:
            abreast = None if self.math.rare or self.math.branching else vectors_abreast(loop, self.shared_work)
            self.loop(loop.index.name, loop.start, loop.stop, lambda: self.statements(loop.body), abreast)
        self.math.branching = around

    def share(self, loop: Loop) -> None:
        """A loop whose rounds any thread may run: they become a function of what they touch."""
        inside = {view.buffer for view in views_in(loop)}
        memory = list(dict.fromkeys(b.memory for b in buffers_in(loop) if b.memory not in inside))
        scalars = free_scalars(loop)

        def round(function: ir.Function, pointers: Sequence[ir.Value], values: Sequence[ir.Value], i: ir.Value) -> None:
            names = {x.name: value for x, value in zip(scalars, values, strict=True)}
            names[loop.index.name] = i
            Emitter(function, dict(zip(memory, pointers, strict=True)), names, {}, I64(1), loop.work).run(loop.body)

        pointers, values = [self.pointer(b) for b in memory], [self.expr(x) for x in scalars]
        call_rounds(self, int_value(loop.stop) or 0, loop.work, pointers, values, round)

    def twice(self, loop: Loop) -> None:
        """A loop that assumes ordinary arguments; if they were not, what it changed is put back and it runs again."""
        b = self.b
        before = {slot: b.load(slot) for key in accumulators(loop) if (slot := self.slots.get(key)) is not None}
        assume = self.math.assume = Assume(b, self.entry)
        self.settled = True
        self.nest(loop)
        self.math.assume = None
        with b.if_then(assume.broken(), likely=False):
            for slot, value in before.items():
                b.store(value, slot)
            self.math.rare = True
            self.nest(loop)
            self.math.rare = False
        self.settled = False

    def loop(self, name: str, start: Expr, stop: Expr, body: Callable[[], None], abreast: int | None = None) -> None:
        first, last = int_value(start), int_value(stop)
        if first is not None and last is not None and first >= last:
            return
        part = piece(start, stop)
        begin = self.expr(start)
        end = self.expr(stop) if part is None else self.length_of(part, begin)

        def step(index: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            self.locals[name] = index if part is None else self.b.add(begin, index, flags=["nsw", "nuw"])
            body()
            return ()

        if isinstance(stop, Local):  # known at run time only, so there may be no round at all
            with self.b.if_then(self.b.icmp_signed(">", end, begin)):
                counted_loop(self.b, end, step, first=begin, abreast=abreast)
        else:
            counted_loop(self.b, end, step, first=begin if part is None else 0, abreast=abreast)

    def length_of(self, part: Piece, begin: ir.Value) -> ir.Value:
        """How many rounds a piece has: one of two numbers. LLVM sees if both are whole vectors, without a rest."""
        length = I64(part.length)
        if part.last == part.length:
            return length
        return self.b.select(self.b.icmp_signed(">", self.b.add(begin, length), I64(part.stop)), I64(part.last), length)

    def repeat(self, loop: Repeat) -> None:
        b = self.b
        head, body, after = (b.append_basic_block(name) for name in ("repeat", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        self.statements(loop.condition)
        b.cbranch(self.expr(loop.ok), body, after)
        b.position_at_end(body)
        self.statements(loop.body)
        b.branch(head)
        b.position_at_end(after)

    def choose(self, choice: Choose) -> None:
        b = self.b
        blocks = [b.append_basic_block(f"case{i}") for i in range(len(choice.cases))]
        after = b.append_basic_block("after")
        switch = b.switch(self.expr(choice.index), blocks[-1])
        for number, (block, case) in enumerate(zip(blocks, choice.cases, strict=True)):
            if number < len(blocks) - 1:
                switch.add_case(I64(number), block)
            b.position_at_end(block)
            self.statements(case)
            b.branch(after)
        b.position_at_end(after)

    def grow(self, tape: Buffer, rows: ir.Value) -> None:
        """Twice the memory that is needed, if there is not enough."""
        b = self.b
        place, capacity = self.tapes[tape]
        with b.if_then(b.icmp_signed("<", b.load(capacity), rows), likely=False):
            room = b.mul(rows, I64(2))
            size = b.mul(room, I64(max(1, tape.type.size) * tape.type.dtype.itemsize))
            realloc = libc(b.module, "realloc", I8.as_pointer(), [I8.as_pointer(), I64])
            memory = b.call(realloc, [self.bytes(b.load(place)), size])
            self.leave_unless(b.icmp_unsigned("!=", memory, I8.as_pointer()(None)), OUT_OF_MEMORY)
            b.store(b.bitcast(memory, place.type.pointee), place)
            b.store(room, capacity)

    def bytes(self, pointer: ir.Value) -> ir.Value:
        return self.b.bitcast(pointer, I8.as_pointer())

    def slot(self, local: Local) -> ir.Value:
        """The stack slot of an accumulator; LLVM turns it into a register."""
        key = (local.name, local.dtype)
        if key not in self.slots:
            self.slots[key] = self.entry.alloca(register_type(local.dtype), name=local.name)
        return self.slots[key]

    def gemm(self, call: Gemm) -> None:
        """All pieces of all products of the batch."""
        product = Product.of(call)
        code, count = shared_products.declared(self.b.module, product), pieces(product).count
        operands = [(call.a, call.m * call.k), (call.b, call.k * call.n)]
        if call.addend is not None:
            operands.append((call.addend, 0 if product.addend == "row" else call.m * call.n))
        operands.append((call.out, call.m * call.n))
        memory = list(dict.fromkeys(b.memory for b, _ in operands))

        def piece(function: ir.Function, pointers: Sequence[ir.Value], scale: Sequence[ir.Value], i: ir.Value) -> None:
            b = ir.IRBuilder(function.append_basic_block("entry"))
            member, number = b.udiv(i, I64(count)), b.urem(i, I64(count))
            found = dict(zip(memory, pointers, strict=True))
            *inputs, out = [b.gep(found[x.memory], [b.mul(member, I64(size))]) for x, size in operands]
            b.call(code, [*inputs, *scale, out, number])
            b.ret(I64(0))

        scale = [] if call.scale is None else [self.expr(call.scale)]
        pointers = [self.pointer(x) for x in memory]
        call_rounds(self, count * call.batch, product_work(call), pointers, scale, piece)

    def host(self, call: Host) -> None:
        """Compute it here, if it is small, or pass it to a callback; leave the program if that reports an error."""
        buffers = [*call.inputs, *call.outputs]
        status = small_matrices.emit(self.b, call, [self.pointer(x) for x in buffers])
        if status is None:
            self.call_back(call, buffers)
            return
        with self.b.if_then(self.b.icmp_signed("!=", status, I64(0)), likely=False):
            self.call_back(call, buffers)

    def call_back(self, call: Host, buffers: Sequence[Buffer]) -> None:
        """Pass the addresses of all operands and results."""
        b = self.b
        table = self.entry.alloca(I8.as_pointer(), len(buffers))
        for position, buffer in enumerate(buffers):
            address = b.bitcast(self.pointer(buffer), I8.as_pointer())
            b.store(address, b.gep(table, [I64(position)]))
        status = b.call(self.callbacks[call.number], [table])
        self.leave_unless(b.icmp_signed("==", status, I64(0)), -1)

    # -- expressions -------------------------------------------------------------------------------

    def expr(self, expr: Expr) -> ir.Value:
        match expr:
            case Literal(value=value):
                return constant(value, expr.dtype)
            case Index(name=name):
                return self.locals[name]
            case Local(name=name, dtype=dtype):
                slot = self.slots.get((name, dtype))
                return self.locals[name] if slot is None else self.b.load(slot)
            case Load(buffer=buffer, index=index):
                number = self.b.load(self.element(buffer, index))
                return self.b.icmp_unsigned("!=", number, I8(0)) if buffer.type.dtype.kind == "b" else number
            case Apply(op=op, args=args, dtype=dtype, exact=exact):
                values = [self.expr(x) for x in args]
                return self.math.apply(op, values, [x.dtype for x in args], dtype, exact)

    def element(self, buffer: Buffer, index: tuple[Expr, ...]) -> ir.Value:
        """The address of an element of a row-major buffer."""
        b = self.b
        offset = None
        stride = 1
        for i, extent in zip(reversed(index), reversed(buffer.type.shape), strict=True):
            if int_value(i) != 0:
                step = b.mul(self.expr(i), I64(stride)) if stride != 1 else self.expr(i)
                offset = step if offset is None else b.add(offset, step)
            stride *= extent
        return b.gep(self.pointer(buffer), [I64(0) if offset is None else offset])
