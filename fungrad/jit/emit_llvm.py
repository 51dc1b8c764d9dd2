"""Loop IR -> LLVM: one function for a whole program, which calls one for each of its `stages`.

The function takes a pointer for each input, constant and output, one for the arena of temporaries and one for each
host callback. It returns a status: 0, or 1 + the number of the guard that failed, or -1 if a host call raised. Extents
are static; pointers are `noalias`.

No fast-math flags are set but `reassoc` on short blocks of sums: contraction to fused multiply-add would make compiled
results differ from NumPy's wherever two products cancel. (Matrix products and elementary functions use FMA inside,
where NumPy's own order of rounding is not defined either.)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from llvmlite import ir

from fungrad.errors import CompileError
from fungrad.ir.types import DType
from fungrad.jit import blas, symbols
from fungrad.jit.compiler import ENTRY
from fungrad.jit.counted_loop import counted_loop
from fungrad.jit.loops import (
    Apply,
    Assign,
    Buffer,
    Expr,
    Gemm,
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
    Statement,
    Store,
    arena_layout,
    int_value,
    literal,
)
from fungrad.jit.native_math import I8, I32, I64, ScalarMath, memory_type, register_type
from fungrad.jit.small_products import is_small, product_function
from fungrad.jit.stages import Stage, stages

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
        self.slots: dict[tuple[str, DType], ir.Value] = {}
        self.scalars: dict[tuple[str, Any], ir.Value] = {}
        count = len(stage.memory)
        self.pointers: dict[Buffer, ir.Value] = dict(zip(stage.memory, function.args[:count], strict=True))
        self.callbacks = {h.number: x for h, x in zip(stage.hosts, function.args[count:], strict=True)}

    def pointer(self, buffer: Buffer) -> ir.Value:
        """The start of a buffer's memory."""
        return self.pointers[buffer.memory]

    def run(self, statements: Sequence[Statement]) -> None:
        body = self.b.block
        self.statements(statements)
        self.b.ret(I64(0))
        self.entry.branch(body)

    # -- statements --------------------------------------------------------------------------------

    def statement(self, statement: Statement) -> None:
        match statement:
            case Note():
                pass
            case Loop(index=index, extent=extent, body=body):
                self.loop(index.name, extent, lambda: self.statements(body))
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
                fail, go_on = self.b.append_basic_block("fail"), self.b.append_basic_block("ok")
                self.b.cbranch(self.expr(ok), go_on, fail)
                self.b.position_at_end(fail)
                self.b.ret(I64(number + 1))
                self.b.position_at_end(go_on)
            case Gemm():
                self.gemm(statement)
            case Host():
                self.host(statement)

    def statements(self, body: Sequence[Statement]) -> None:
        for statement in body:
            self.statement(statement)

    def loop(self, name: str, extent: Expr, body: Callable[[], None]) -> None:
        count = int_value(extent)
        if count is None:
            raise CompileError(f"loop {name} has an extent that is not known")

        def step(index: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            self.locals[name] = index
            body()
            return ()

        counted_loop(self.b, count, step)

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

        self.loop("i__batch", literal(call.batch), once)

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
        fail, go_on = b.append_basic_block("raised"), b.append_basic_block("ok")
        b.cbranch(b.icmp_signed("==", status, I64(0)), go_on, fail)
        b.position_at_end(fail)
        b.ret(I64(-1))
        b.position_at_end(go_on)

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
