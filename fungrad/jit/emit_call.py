"""The machine code behind `python_call.native`: one C function that carries out any plan.

    PyObject *call(PyObject *self, PyObject *leaves)

`self` is a tuple whose first item is the array of a plan's words. Addresses are plain 64-bit integers here, and fields
are loaded at the offsets that `python_call` names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llvmlite import ir

from fungrad.jit import python_call as at
from fungrad.jit.compiler import CALL
from fungrad.jit.llvm_types import F64, I8, I32, I64, VOID

_FUNCTIONS: dict[str, tuple[ir.Type, list[ir.Type]]] = {  # results and parameters
    "Py_IncRef": (VOID, [I64]),
    "Py_DecRef": (VOID, [I64]),
    "PyErr_Clear": (VOID, []),
    "PyErr_Occurred": (I64, []),
    "PyEval_SaveThread": (I64, []),
    "PyEval_RestoreThread": (VOID, [I64]),
    "PyObject_CallNoArgs": (I64, [I64]),
    "PyTuple_New": (I64, [I64]),
    "PyList_GetItem": (I64, [I64, I64]),
    "PyList_SetSlice": (I32, [I64, I64, I64, I64]),
    "PyList_Append": (I32, [I64, I64]),
    "PyLong_AsLongLong": (I64, [I64]),
    "PyLong_FromLongLong": (I64, [I64]),
    "PyBool_FromLong": (I64, [I64]),
    "PyFloat_FromDouble": (I64, [F64]),
    "PyArray_Scalar": (I64, [I64, I64, I64]),
    "PyArray_NewFromDescr": (I64, [I64, I64, I32, I64, I64, I64, I32, I64]),
}


def emit_call() -> tuple[str, list[str]]:
    """The module with the function `CALL`, in LLVM's language; and the names it imports."""
    module = ir.Module(name=CALL)
    function = ir.Function(module, ir.FunctionType(I64, [I64, I64]), CALL)
    _Call(function).emit()
    return str(module), [name for name in module.globals if name != CALL]


class _Call:
    def __init__(self, function: ir.Function) -> None:
        self.module = function.module
        self.b = ir.IRBuilder(function.append_basic_block("entry"))
        self.self, self.leaves = function.args

    # -- vocabulary --------------------------------------------------------------------------------------------------

    def load(self, address: ir.Value, offset: int | ir.Value, type: ir.Type = I64) -> ir.Value:
        return self.b.load(self.b.inttoptr(self.at(address, offset), type.as_pointer()), typ=type)

    def store(self, value: ir.Value, address: ir.Value) -> None:
        self.b.store(value, self.b.inttoptr(address, value.type.as_pointer()))

    def at(self, address: ir.Value, offset: int | ir.Value) -> ir.Value:
        return self.b.add(address, offset if isinstance(offset, ir.Value) else I64(offset))

    def word(self, number: int) -> ir.Value:
        """A word of the plan's header."""
        return self.load(self.plan, 8 * number)

    def words(self, count: ir.Value) -> ir.Value:
        """The address of a block of words on the stack."""
        return self.b.ptrtoint(self.b.alloca(I64, count), I64)

    def object(self, name: str) -> ir.Value:
        symbol = f"{at.OBJECT}{name}"
        found = self.module.globals.get(symbol) or ir.GlobalVariable(self.module, I8, symbol)
        return self.b.ptrtoint(found, I64)

    def call(self, name: str, *arguments: ir.Value) -> ir.Value:
        result, parameters = _FUNCTIONS[name]
        type = ir.FunctionType(result, parameters)
        function = self.module.globals.get(name) or ir.Function(self.module, type, name)
        return self.b.call(function, arguments)

    def set_item(self, items: ir.Value, i: ir.Value, item: ir.Value) -> None:
        """Put an object in an empty place of a new tuple. Python's own function refuses if somebody else has found the
        tuple, as the garbage collector lets anyone do."""
        self.store(item, self.at(items, self.at(self.b.shl(i, I64(3)), at.TUPLE)))

    def is_(self, x: ir.Value, y: ir.Value | int) -> ir.Value:
        return self.b.icmp_unsigned("==", x, y if isinstance(y, ir.Value) else x.type(y))

    def isnt(self, x: ir.Value, y: ir.Value | int) -> ir.Value:
        return self.b.not_(self.is_(x, y))

    @contextmanager
    def each(self, count: ir.Value) -> Iterator[ir.Value]:
        """The body is run for 0 <= index < count."""
        b = self.b
        before, head, body, end = b.block, *(b.append_basic_block(x) for x in ("head", "body", "end"))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(I64)
        index.add_incoming(I64(0), before)
        b.cbranch(b.icmp_unsigned("<", index, count), body, end)
        b.position_at_end(body)
        yield index
        index.add_incoming(b.add(index, I64(1)), b.block)
        b.branch(head)
        b.position_at_end(end)

    def misfit_if(self, condition: ir.Value) -> None:
        """Return None where the condition holds."""
        with self.b.if_then(condition, likely=False):
            none = self.object("None")
            self.call("Py_IncRef", none)
            self.b.ret(none)

    def failure_if(self, condition: ir.Value, *owned: ir.Value) -> None:
        """Leave with the exception that is set, without the objects made so far."""
        with self.b.if_then(condition, likely=False):
            for x in owned:
                self.call("Py_DecRef", x)
            self.b.ret(I64(0))

    # -- the call ----------------------------------------------------------------------------------------------------

    def emit(self) -> None:
        b = self.b
        self.plan = self.load(self.load(self.self, at.TUPLE), at.DATA)
        inputs, outputs = self.word(at.INPUTS), self.word(at.OUTPUTS)
        constants, hosts = self.word(at.CONSTANTS), self.word(at.HOSTS)
        record, size = self.at(self.plan, 8 * at.HEADER), I64(8 * at.RECORD)
        output_records = b.add(record, b.mul(inputs, size))
        pointers = b.add(output_records, b.mul(outputs, size))
        after_inputs = b.add(inputs, constants)
        arena_place = b.add(after_inputs, outputs)
        table = self.words(self.at(b.add(arena_place, hosts), 2))
        slots = self.words(b.add(inputs, outputs))  # where numbers are that are not in an object

        def place(index: ir.Value) -> ir.Value:
            return b.add(table, b.shl(index, I64(3)))

        self.misfit_if(self.isnt(self.load(self.leaves, at.TYPE), self.object("tuple")))
        self.misfit_if(self.isnt(self.load(self.leaves, at.HEAD), inputs))
        with self.each(inputs) as i:
            leaf = self.load(self.leaves, self.at(b.shl(i, I64(3)), at.TUPLE))
            slot = b.add(slots, b.shl(i, I64(3)))
            self.store(self.input(leaf, b.add(record, b.mul(i, size)), slot), place(i))
        with self.b.if_then(self.isnt(self.word(at.DONATED), 0), likely=False):
            self.check_donated(inputs, record, place)
        with self.each(constants) as i:
            self.store(self.load(pointers, b.shl(i, I64(3))), place(b.add(inputs, i)))
        with self.each(hosts) as i:
            callback = self.load(pointers, b.shl(b.add(constants, i), I64(3)))
            self.store(callback, place(self.at(b.add(arena_place, i), 2)))

        results = self.call("PyTuple_New", outputs)
        self.failure_if(self.is_(results, 0))
        with self.each(outputs) as i:
            slot = b.add(slots, b.shl(b.add(inputs, i), I64(3)))
            memory = self.output(results, i, b.add(output_records, b.mul(i, size)), slot)
            self.store(memory, place(b.add(after_inputs, i)))
        arena = self.take_arena(results)
        self.store(self.load(arena, at.DATA), place(arena_place))
        self.store(self.word(at.THREADS), place(self.at(arena_place, 1)))

        thread = self.call("PyEval_SaveThread")
        entry = b.inttoptr(self.word(at.ENTRY), ir.FunctionType(I64, [I64]).as_pointer())
        status = b.call(entry, [table])
        self.call("PyEval_RestoreThread", thread)

        kept = self.call("PyList_Append", self.word(at.ARENAS), arena)
        self.call("Py_DecRef", arena)
        self.failure_if(self.isnt(kept, 0), results)
        with b.if_then(self.isnt(status, 0), likely=False):
            self.call("Py_DecRef", results)
            b.ret(self.call("PyLong_FromLongLong", status))
        with self.each(outputs) as i:
            slot = b.add(slots, b.shl(b.add(inputs, i), I64(3)))
            self.box(results, i, b.add(output_records, b.mul(i, size)), slot)
        b.ret(results)

    def input(self, leaf: ir.Value, record: ir.Value, slot: ir.Value) -> ir.Value:
        """Where the value of a leaf is; leaves the function if the leaf is not what the record says."""
        b = self.b
        kind, type = self.load(record, 8 * at.KIND), self.load(leaf, at.TYPE)
        is_number = self.is_(type, self.load(record, 8 * at.SCALAR))
        with b.if_else(is_number) as (number, array):
            with number:
                is_integer = b.or_(self.is_(kind, at.INTEGER), self.is_(kind, at.BOOL))
                inside = self.at(leaf, at.HEAD)
                with b.if_then(is_integer, likely=False):
                    value = self.call("PyLong_AsLongLong", leaf)
                    with b.if_then(self.is_(value, -1), likely=False):
                        failed = self.isnt(self.call("PyErr_Occurred"), 0)
                        with b.if_then(failed, likely=False):
                            self.call("PyErr_Clear")
                            self.misfit_if(ir.Constant(ir.IntType(1), 1))
                    self.store(value, slot)
                number_place = b.select(is_integer, slot, inside)
                number_end = b.block
            with array:
                self.misfit_if(b.icmp_unsigned(">", kind, I64(at.NUMPY_SCALAR)))
                self.misfit_if(self.isnt(type, self.object("ndarray")))
                self.misfit_if(self.isnt(self.load(leaf, at.DESCRIPTOR), self.load(record, 8 * at.DTYPE)))
                rank = self.load(record, 8 * at.NDIM)
                self.misfit_if(self.isnt(b.sext(self.load(leaf, at.RANK, I32), I64), rank))
                needed = b.trunc(self.load(record, 8 * at.NEEDED), I32)
                self.misfit_if(self.isnt(b.and_(self.load(leaf, at.FLAGS, I32), needed), needed))
                extents, expected = self.load(leaf, at.EXTENTS), self.load(record, 8 * at.SHAPE)
                with self.each(rank) as axis:
                    offset = b.shl(axis, I64(3))
                    self.misfit_if(self.isnt(self.load(extents, offset), self.load(expected, offset)))
                array_place = self.load(leaf, at.DATA)
                array_end = b.block
        found = b.phi(I64)
        found.add_incoming(number_place, number_end)
        found.add_incoming(array_place, array_end)
        return found

    def output(self, results: ir.Value, i: ir.Value, record: ir.Value, slot: ir.Value) -> ir.Value:
        """Where a result goes: a fresh array, an input, or the slot of a number."""
        b = self.b
        kind = self.load(record, 8 * at.KIND)
        found = b.alloca(I64)
        b.store(slot, found)

        def keep(array: ir.Value) -> None:
            self.failure_if(self.is_(array, 0), results)
            self.set_item(results, i, array)
            b.store(self.load(array, at.DATA), found)

        with b.if_then(self.is_(kind, at.ARRAY)):
            rank, shape = self.load(record, 8 * at.NDIM), self.load(record, 8 * at.SHAPE)
            keep(self.new_array(self.load(record, 8 * at.DTYPE), b.trunc(rank, I32), shape))
        with b.if_then(self.is_(kind, at.LARGE_ARRAY), likely=False):
            keep(self.call("PyObject_CallNoArgs", self.load(record, 8 * at.SCALAR)))
        with b.if_then(self.is_(kind, at.INPUT), likely=False):
            number = self.load(record, 8 * at.SCALAR)
            leaf = self.load(self.leaves, self.at(b.shl(number, I64(3)), at.TUPLE))
            self.call("Py_IncRef", leaf)
            self.set_item(results, i, leaf)
            b.store(self.load(leaf, at.DATA), found)
        return b.load(found, typ=I64)

    def check_donated(self, inputs: ir.Value, records: ir.Value, place: Callable[[ir.Value], ir.Value]) -> None:
        """Leave the function if an input that is written over shares memory with another."""
        b = self.b

        def memory(i: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
            record = b.add(records, b.mul(i, I64(8 * at.RECORD)))
            start = self.load(place(i), 0)
            return record, start, b.add(start, self.load(record, 8 * at.BYTES))

        with self.each(inputs) as i:
            record, start, stop = memory(i)
            with (
                b.if_then(self.is_(b.and_(self.load(record, 8 * at.NEEDED), I64(at.WRITEABLE)), at.WRITEABLE)),
                self.each(inputs) as j,
            ):
                _, other_start, other_stop = memory(j)
                apart = b.or_(b.icmp_unsigned("<=", stop, other_start), b.icmp_unsigned("<=", other_stop, start))
                self.misfit_if(b.and_(self.isnt(i, j), b.not_(apart)))

    def new_array(self, dtype: ir.Value, rank: ir.Value, shape: ir.Value) -> ir.Value:
        self.call("Py_IncRef", dtype)  # the new array's
        zero = I64(0)
        return self.call("PyArray_NewFromDescr", self.object("ndarray"), dtype, rank, shape, zero, zero, I32(0), zero)

    def take_arena(self, results: ir.Value) -> ir.Value:
        """A free arena, else a new one."""
        b = self.b
        arenas = self.word(at.ARENAS)
        last = self.at(self.load(arenas, at.HEAD), -1)
        with b.if_else(b.icmp_signed(">=", last, I64(0))) as (free, none):
            with free:
                old = self.call("PyList_GetItem", arenas, last)
                self.call("Py_IncRef", old)
                self.call("PyList_SetSlice", arenas, last, self.at(last, 1), I64(0))
                free_end = b.block
            with none:
                shape = self.words(I64(1))
                self.store(self.word(at.ARENA_BYTES), shape)
                new = self.new_array(self.object("uint8"), I32(1), shape)
                self.failure_if(self.is_(new, 0), results)
                none_end = b.block
        found = b.phi(I64)
        found.add_incoming(old, free_end)
        found.add_incoming(new, none_end)
        return found

    def box(self, results: ir.Value, i: ir.Value, record: ir.Value, slot: ir.Value) -> None:
        """Put the object of a number in the results."""
        b = self.b
        kind = self.load(record, 8 * at.KIND)
        done = b.append_basic_block("done")
        switch = b.switch(kind, done)

        def bits_of(type: ir.Type) -> ir.Value:
            return self.load(slot, 0, type)

        makers: dict[int, Callable[[], ir.Value]] = {
            at.NUMPY_SCALAR: lambda: self.call("PyArray_Scalar", slot, self.load(record, 8 * at.DTYPE), I64(0)),
            at.FLOAT: lambda: self.call("PyFloat_FromDouble", bits_of(F64)),
            at.INTEGER: lambda: self.call("PyLong_FromLongLong", bits_of(I64)),
            at.BOOL: lambda: self.call("PyBool_FromLong", b.zext(bits_of(I8), I64)),
        }
        for number, make in makers.items():
            block = b.append_basic_block("number")
            switch.add_case(I64(number), block)
            b.position_at_end(block)
            boxed = make()
            self.failure_if(self.is_(boxed, 0), results)
            self.set_item(results, i, boxed)
            b.branch(done)
        b.position_at_end(done)
