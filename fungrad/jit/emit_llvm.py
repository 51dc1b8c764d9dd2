"""Loop IR -> LLVM: one function for a whole program, which calls one for each of its `stages`.

The function takes a pointer for each input, constant and output, one for the arena of temporaries and one for each
host callback. It returns a status: 0, or 1 + the number of the guard that failed, or -1 if a host call raised, or -2 if
there was no memory for a tape. Extents are static; pointers are `noalias`. Tapes are the C library's memory, freed on
every way out.

No fast-math flags are set but `reassoc` on short blocks of sums: contraction to fused multiply-add would make compiled
results differ from NumPy's wherever two products cancel. (Matrix products and elementary functions use FMA inside,
where NumPy's own order of rounding is not defined either.)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from llvmlite import ir

from fungrad.ir.types import DType
from fungrad.jit import blas, symbols
from fungrad.jit.assumptions import Assume, accumulators, expressions, is_serial, is_worthwhile
from fungrad.jit.compiler import ENTRY
from fungrad.jit.counted_loop import counted_loop
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
    Program,
    Repeat,
    Statement,
    Store,
    View,
    inner_statements,
    int_value,
    literal,
)
from fungrad.jit.memory_plan import arena_layout
from fungrad.jit.native_math import I8, I32, I64, ScalarMath, memory_type, register_type
from fungrad.jit.small_products import is_small, product_function
from fungrad.jit.stages import Stage, stages
from fungrad.jit.vectormath import FUNCTIONS

LAID_OUT = 16  # statements of a loop that is not one in machine code
FUNCTION = 4  # statements that an elementary function is as long as, at least
OUT_OF_MEMORY = -2
CALLBACK = ir.FunctionType(I64, [I8.as_pointer().as_pointer()]).as_pointer()


def emit_module(program: Program) -> tuple[str, list[str]]:
    """A module whose function `ENTRY` finds all pointers of a program in one table; and the names it imports."""
    module = ir.Module(name=program.name)
    function = emit_llvm(program, module)
    entry = ir.Function(module, ir.FunctionType(I64, [I8.as_pointer().as_pointer()]), ENTRY)
    b = ir.IRBuilder(entry.append_basic_block("entry"))
    table = entry.args[0]
    pointers = [b.load(b.gep(table, [I64(i)]), typ=I8.as_pointer()) for i in range(len(function.args))]
    b.ret(b.call(function, [b.bitcast(p, x.type) for p, x in zip(pointers, function.args, strict=True)]))
    return str(module), [name for name in module.globals if symbols.is_external(name)]


def emit_llvm(program: Program, module: ir.Module) -> ir.Function:
    """Add the function of a program to an LLVM module."""
    types = [*(_pointer(b) for b in program.arguments), I8.as_pointer(), *([CALLBACK] * len(program.hosts))]
    function = _function(module, f"fungrad_program_{program.name}", types)
    *pointers, arena = function.args[: len(program.arguments) + 1]
    callbacks = function.args[len(program.arguments) + 1 :]
    arguments = dict(zip(program.arguments, pointers, strict=True))
    offsets, _ = arena_layout(program)
    b = ir.IRBuilder(function.append_basic_block("entry"))

    def place(buffer: Buffer) -> ir.Value:
        if buffer in arguments:
            return arguments[buffer]
        return b.bitcast(b.gep(arena, [I64(offsets[buffer])]), _pointer(buffer))

    shared: dict[Hashable, ir.Function] = {}
    for stage in stages(program):
        if stage.key not in shared:
            shared[stage.key] = _emit_stage(stage, module)
        status = b.call(shared[stage.key], [*map(place, stage.memory), *(callbacks[h.number] for h in stage.hosts)])
        with b.if_then(b.icmp_signed("!=", status, I64(0)), likely=False):
            b.ret(status)
    b.ret(I64(0))
    return function


def _emit_stage(stage: Stage, module: ir.Module) -> ir.Function:
    """A function of the memory and the host callbacks of a stage."""
    types = [*map(_pointer, stage.memory), *([CALLBACK] * len(stage.hosts))]
    function = _function(module, "fungrad_stage", types)
    _Emitter(stage, function).run(stage.body)
    return function


def _rounds(statement: Statement) -> int:
    """How many statements one runs; loops without known bounds and elementary functions count as long."""
    inside = sum(map(_rounds, inner_statements(statement)))
    if not isinstance(statement, Loop):
        functions = sum(isinstance(x, Apply) and x.op in FUNCTIONS for x in expressions(statement))
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


def _pointer(buffer: Buffer) -> ir.Type:
    return memory_type(buffer.type.dtype).as_pointer()


def _function(module: ir.Module, name: str, types: Sequence[ir.Type]) -> ir.Function:
    """An empty function of pointers that is not inlined: LLVM's passes take more than linear time in its length."""
    function = ir.Function(module, ir.FunctionType(I64, types), module.get_unique_name(name))
    function.linkage = "internal"
    function.attributes.add("noinline")
    for argument in function.args:
        argument.add_attribute("noalias")
    return function


class _Emitter:
    def __init__(self, stage: Stage, function: ir.Function) -> None:
        self.entry = ir.IRBuilder(function.append_basic_block("entry"))
        self.b = ir.IRBuilder(function.append_basic_block("body"))
        self.math = ScalarMath(self.b)
        self.locals: dict[str, ir.Value] = {}
        self.settled = False  # whether a loop around the statement that is emitted is one of two versions
        self.slots: dict[tuple[str, DType], ir.Value] = {}
        self.scalars: dict[tuple[str, Any], ir.Value] = {}
        count = len(stage.memory)
        self.pointers: dict[Buffer, ir.Value] = dict(zip(stage.memory, function.args[:count], strict=True))
        self.tapes: dict[Buffer, tuple[ir.Value, ir.Value]] = {}  # where the memory and its number of rows are kept
        self.callbacks = {h.number: x for h, x in zip(stage.hosts, function.args[count:], strict=True)}

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
            self.b.call(self.libc("free", ir.VoidType(), [I8.as_pointer()]), [self.bytes(self.b.load(place))])
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
            self.loop(loop.index.name, loop.start, loop.stop, lambda: self.statements(loop.body))
        self.math.branching = around

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

    def loop(self, name: str, start: Expr, stop: Expr, body: Callable[[], None]) -> None:
        def step(index: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            self.locals[name] = index
            body()
            return ()

        first, count = int_value(start), int_value(stop)
        if first is not None and count is not None and first >= count:
            return
        if isinstance(stop, Local):  # known at run time only, so there may be no round at all
            with self.b.if_then(self.b.icmp_signed(">", self.expr(stop), self.expr(start))):
                counted_loop(self.b, self.expr(stop), step, first=self.expr(start))
        else:
            counted_loop(self.b, self.expr(stop), step, first=self.expr(start))

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
            realloc = self.libc("realloc", I8.as_pointer(), [I8.as_pointer(), I64])
            memory = b.call(realloc, [self.bytes(b.load(place)), size])
            self.leave_unless(b.icmp_unsigned("!=", memory, I8.as_pointer()(None)), OUT_OF_MEMORY)
            b.store(b.bitcast(memory, place.type.pointee), place)
            b.store(room, capacity)

    def bytes(self, pointer: ir.Value) -> ir.Value:
        return self.b.bitcast(pointer, I8.as_pointer())

    def libc(self, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
        symbol = f"fungrad_libc_{name}"
        module = self.b.module
        return module.globals.get(symbol) or ir.Function(module, ir.FunctionType(result, arguments), symbol)

    def slot(self, local: Local) -> ir.Value:
        """The stack slot of an accumulator; LLVM turns it into a register."""
        key = (local.name, local.dtype)
        if key not in self.slots:
            self.slots[key] = self.entry.alloca(register_type(local.dtype), name=local.name)
        return self.slots[key]

    def gemm(self, call: Gemm) -> None:
        sizes = (call.m * call.k, call.k * call.n, call.m * call.n)

        def once() -> None:
            p = self.locals["i__batch"]
            a, b, out = (
                self.b.gep(self.pointer(x), [self.b.mul(p, I64(size))])
                for x, size in zip((call.a, call.b, call.out), sizes, strict=True)
            )
            if is_small(call):
                self.b.call(product_function(self.b.module, call), [a, b, out])
            else:
                self.blas(call, a, b, out)

        self.loop("i__batch", literal(0), literal(call.batch), once)

    def blas(self, call: Gemm, a: ir.Value, b: ir.Value, out: ir.Value) -> None:
        """One product by the library, as C^T = B^T A^T."""
        dtype = call.out.type.dtype
        type = memory_type(dtype)
        pointer, count = type.as_pointer(), I32.as_pointer()
        matrix = [pointer, count]
        signature = ir.FunctionType(
            ir.VoidType(),
            [I8.as_pointer(), I8.as_pointer(), count, count, count, pointer, *matrix, *matrix, pointer, *matrix],
        )
        symbol = f"fungrad_blas_{blas.SYMBOLS[dtype]}"
        function = self.b.module.globals.get(symbol) or ir.Function(self.b.module, signature, symbol)
        lda = call.m if call.transpose_a else call.k
        ldb = call.k if call.transpose_b else call.n
        flags = [self.by_reference(I8, ord("T" if t else "N")) for t in (call.transpose_b, call.transpose_a)]
        extents = [self.by_reference(I32, n) for n in (call.n, call.m, call.k)]
        one, zero = self.by_reference(type, 1.0), self.by_reference(type, 0.0)
        lead_b, lead_a, lead_out = (self.by_reference(I32, n) for n in (ldb, lda, call.n))
        self.b.call(function, [*flags, *extents, one, b, lead_b, a, lead_a, zero, out, lead_out])

    def by_reference(self, type: ir.Type, value: Any) -> ir.Value:
        """A pointer to a constant, as Fortran takes its arguments."""
        key = (str(type), value)
        if key not in self.scalars:
            module = self.b.module
            constant = ir.GlobalVariable(module, type, module.get_unique_name("fungrad_constant"))
            constant.initializer = ir.Constant(type, value)
            constant.global_constant = True
            constant.linkage = "internal"
            self.scalars[key] = constant
        return self.scalars[key]

    def host(self, call: Host) -> None:
        """Pass the addresses of all operands to a callback; leave the program if it reports an error."""
        b = self.b
        buffers = [*call.inputs, *call.outputs]
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
                return self.math.constant(value, expr.dtype)
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
