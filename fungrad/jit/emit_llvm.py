"""Loop IR -> LLVM: one function for a whole program, which calls one for each piece of a long one.

The function takes a pointer for each input, constant and output and one for the arena of temporaries, and returns a
status: 0, or 1 + the number of the guard that failed, or -1 if a host call raised. Extents are static; pointers are
`noalias`.

No fast-math flags are set but `reassoc` on short blocks of sums: contraction to fused multiply-add would make compiled
results differ from NumPy's wherever two products cancel. (Matrix products and elementary functions use FMA inside,
where NumPy's own order of rounding is not defined either.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from fungrad.ir.types import DType
from fungrad.jit import blas
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
    int_value,
    literal,
)
from fungrad.jit.memory_plan import arena_layout
from fungrad.jit.native_math import I8, I32, I64, ScalarMath, memory_type, register_type
from fungrad.jit.small_products import is_small, product_function

PIECE = 200  # statements, after which a long program is cut


def emit_llvm(program: Program, module: ir.Module, symbols: list[str]) -> ir.Function:
    """Add the function of a program to an LLVM module.

    Args:
        program: what to emit.
        module: where.
        symbols: the registered names of the program's host calls, in order.
    """
    pieces = split(program.body)
    functions = [_function(program, module) for _ in pieces]
    offsets, _ = arena_layout(program)
    for piece, function in zip(pieces, functions, strict=True):
        _Emitter(program, function, symbols, offsets).run(piece)
    return functions[0] if len(functions) == 1 else _in_turn(functions, _function(program, module))


def split(body: Sequence[Statement]) -> list[list[Statement]]:
    """The statements of a program in pieces of some size, cut only where a stage begins.

    LLVM's passes take more than linear time in the length of a function, so long programs become several.
    """
    pieces: list[list[Statement]] = [[]]
    size = 0
    for statement in body:
        if isinstance(statement, Note) and size >= PIECE:
            pieces.append([])
            size = 0
        pieces[-1].append(statement)
        size += _count(statement)
    return pieces


def _count(statement: Statement) -> int:
    return 1 + sum(map(_count, statement.body)) if isinstance(statement, Loop) else 1


def _function(program: Program, module: ir.Module) -> ir.Function:
    """An empty function of all buffers of a program."""
    types = [memory_type(b.type.dtype).as_pointer() for b in program.arguments]
    signature = ir.FunctionType(I64, [*types, I8.as_pointer()])
    function = ir.Function(module, signature, module.get_unique_name(f"fungrad_program_{program.name}"))
    function.linkage = "internal"
    function.attributes.add("noinline")
    for argument in function.args:
        argument.add_attribute("noalias")
    return function


def _in_turn(pieces: Sequence[ir.Function], function: ir.Function) -> ir.Function:
    """A function that calls the pieces one after another, as long as they succeed."""
    b = ir.IRBuilder(function.append_basic_block("entry"))
    for piece in pieces:
        status = b.call(piece, function.args)
        with b.if_then(b.icmp_signed("!=", status, I64(0)), likely=False):
            b.ret(status)
    b.ret(I64(0))
    return function


class _Emitter:
    def __init__(self, program: Program, function: ir.Function, symbols: list[str], offsets: dict[Buffer, int]) -> None:
        self.function = function
        self.symbols = symbols
        self.offsets = offsets
        self.entry = ir.IRBuilder(function.append_basic_block("entry"))
        self.b = ir.IRBuilder(function.append_basic_block("body"))
        self.math = ScalarMath(self.b)
        self.locals: dict[str, ir.Value] = {}
        self.slots: dict[tuple[str, DType], ir.Value] = {}
        self.scalars: dict[tuple[str, Any], ir.Value] = {}
        self.pointers: dict[Buffer, ir.Value] = dict(zip(program.arguments, function.args[:-1], strict=True))

    def pointer(self, buffer: Buffer) -> ir.Value:
        """The start of a buffer's memory; of a temporary, computed once at the start of the function."""
        memory = buffer.memory
        if memory not in self.pointers:
            start = self.entry.gep(self.function.args[-1], [I64(self.offsets[memory])])
            self.pointers[memory] = self.entry.bitcast(start, memory_type(memory.type.dtype).as_pointer())
        return self.pointers[memory]

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
            case Loop(index=index, stop=stop, body=body, start=start):
                self.loop(index.name, start, stop, lambda: self.statements(body))
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

    def loop(self, name: str, start: Expr, stop: Expr, body: Callable[[], None]) -> None:
        def step(index: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            self.locals[name] = index
            body()
            return ()

        first, count = int_value(start), int_value(stop)
        if first is not None and count is not None and first >= count:
            return
        counted_loop(self.b, self.expr(stop), step, first=self.expr(start))

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
        symbol = self.symbols[call.number]
        signature = ir.FunctionType(I64, [I8.as_pointer().as_pointer()])
        function = b.module.globals.get(symbol) or ir.Function(b.module, signature, symbol)
        status = b.call(function, [table])
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
