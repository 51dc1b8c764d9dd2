"""Loop IR -> LLVM: one function for a whole program, which calls one for each of its `stages`.

The function takes a pointer for each input, constant and output, one for the arena of temporaries, the number of
threads and a pointer for each host callback. It returns a status: 0, or 1 + the number of the guard that failed, or -1
if a host call raised, or -2 if there was no memory for a tape. Extents are static; pointers are `noalias`. Tapes are
the C library's memory, freed on every way out.

No fast-math flags are set but `reassoc` on short blocks of sums: contraction to fused multiply-add would make compiled
results differ from NumPy's wherever two products cancel. (Matrix products and elementary functions use FMA inside,
where NumPy's own order of rounding is not defined either.)
"""

from __future__ import annotations

from collections.abc import Hashable

from llvmlite import ir

from fungrad.jit import symbols
from fungrad.jit.compiler import ENTRY
from fungrad.jit.emitter import Emitter, pointer_type
from fungrad.jit.llvm_types import I8, I64
from fungrad.jit.loops import Buffer, Grow, Guard, Host, Program, Statement
from fungrad.jit.memory_plan import arena_layout
from fungrad.jit.outline import internal_function
from fungrad.jit.stages import Stage, stages
from fungrad.jit.walk import inner_statements

CALLBACK = ir.FunctionType(I64, [I8.as_pointer().as_pointer()]).as_pointer()


def emit_module(program: Program) -> tuple[str, list[str]]:
    """A module whose function `ENTRY` finds all pointers of a program in one table; and the names it imports."""
    module = ir.Module(name=program.name)
    function = emit_llvm(program, module)
    entry = ir.Function(module, ir.FunctionType(I64, [I8.as_pointer().as_pointer()]), ENTRY)
    b = ir.IRBuilder(entry.append_basic_block("entry"))
    table = entry.args[0]
    pointers = [b.load(b.gep(table, [I64(i)]), typ=I8.as_pointer()) for i in range(len(function.args))]
    b.ret(b.call(function, [_as_type(b, p, x.type) for p, x in zip(pointers, function.args, strict=True)]))
    return str(module), [name for name in module.globals if symbols.is_external(name)]


def emit_llvm(program: Program, module: ir.Module) -> ir.Function:
    """Add the function of a program to an LLVM module."""
    types = [*map(pointer_type, program.arguments), I8.as_pointer(), I64, *([CALLBACK] * len(program.hosts))]
    function = internal_function(module, f"fungrad_program_{program.name}", types)
    count = len(program.arguments)
    pointers, arena, threads = function.args[:count], function.args[count], function.args[count + 1]
    callbacks = function.args[count + 2 :]
    places = dict(reversed([*zip(program.arguments, pointers, strict=True)]))  # of an input, not of the output
    offsets, _ = arena_layout(program)
    b = ir.IRBuilder(function.append_basic_block("entry"))

    def place(buffer: Buffer) -> ir.Value:
        if buffer not in places:
            places[buffer] = b.bitcast(b.gep(arena, [I64(offsets[buffer])]), pointer_type(buffer))
        return places[buffer]

    shared: dict[Hashable, ir.Function] = {}
    for stage in stages(program):
        if stage.key not in shared:
            shared[stage.key] = _emit_stage(stage, module)
        arguments_of = [*map(place, stage.memory), threads, *(callbacks[h.number] for h in stage.hosts)]
        status = b.call(shared[stage.key], arguments_of)
        if any(map(_can_fail, stage.body)):
            fail, go_on = function.append_basic_block("fail"), function.append_basic_block("go_on")
            b.cbranch(b.icmp_signed("!=", status, I64(0)), fail, go_on).set_weights([1, 99])
            b.position_at_end(fail)
            b.ret(status)
            b.position_at_end(go_on)
    b.ret(I64(0))
    return function


def _can_fail(statement: Statement) -> bool:
    return isinstance(statement, Guard | Host | Grow) or any(map(_can_fail, inner_statements(statement)))


def _emit_stage(stage: Stage, module: ir.Module) -> ir.Function:
    """A function of the memory of a stage, the number of threads and the host callbacks."""
    types = [*map(pointer_type, stage.memory), I64, *([CALLBACK] * len(stage.hosts))]
    function = internal_function(module, "fungrad_stage", types)
    count = len(stage.memory)
    pointers = dict(zip(stage.memory, function.args[:count], strict=True))
    callbacks = {h.number: x for h, x in zip(stage.hosts, function.args[count + 1 :], strict=True)}
    Emitter(function, pointers, {}, callbacks, function.args[count]).run(stage.body)
    return function


def _as_type(b: ir.IRBuilder, word: ir.Value, type: ir.Type) -> ir.Value:
    """A word of the table as a pointer or a number."""
    return b.ptrtoint(word, type) if isinstance(type, ir.IntType) else b.bitcast(word, type)
