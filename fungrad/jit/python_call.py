"""From Python to machine code and back: checks the arguments, makes the results, calls without the GIL.

    call(leaves)  ->  a tuple of results     if the leaves are dense arrays and numbers of the compiled types, and those
                                             that are written over are writeable and overlap no other
                      None                   if they are not: nothing has run
                      a status               if the program failed, see `emit_llvm`

`native` makes such a function from a `Plan`: a C function that reads the fields of array objects at the places NumPy's
and CPython's binary interfaces fix, so a call costs little. There is one piece of machine code
for all programs (`emit_call`), which goes through the words of a plan. `portable` says the same in Python, and is used
where the places of the fields are not the known ones.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fungrad.ir.types import ArrayType
from fungrad.jit.forks import once
from fungrad.large_results import LARGE, maker

Leaf = tuple[ArrayType, type | None]  # for a Python number its type: bool, int or float
Result = tuple[ArrayType, type | None, int | None]  # and the input it is written over, if it is
NativeCall = Callable[[tuple[Any, ...]], Any]

# where fields are, in bytes
HEAD: int = object.__basicsize__  # of numbers, the value
TYPE = HEAD - 8
TUPLE: int = tuple.__basicsize__  # of tuples, the first item
DATA, RANK, EXTENTS, DESCRIPTOR, FLAGS = HEAD, HEAD + 8, HEAD + 16, HEAD + 40, HEAD + 48  # of arrays
FIELDS = f"{HEAD} {TUPLE}"  # what all of them follow from; another Python may have others
DENSE = 0x0001 | 0x0100  # C-contiguous and aligned
WRITEABLE = 0x0400

# the words of a plan: a header, a record for each input and each output, pointers to constants and host callbacks
ENTRY, INPUTS, OUTPUTS, CONSTANTS, HOSTS, ARENA_BYTES, ARENAS, THREADS, DONATED, HEADER = range(10)
KIND, SCALAR, DTYPE, NDIM, SHAPE, NEEDED, BYTES, RECORD = range(8)
ARRAY, NUMPY_SCALAR, FLOAT, INTEGER, BOOL = range(5)  # kinds
INPUT, LARGE_ARRAY = 5, 6  # of results; `SCALAR` says which input, or what makes the array
_KINDS: dict[type | None, int] = {float: FLOAT, int: INTEGER, bool: BOOL}


@dataclass(frozen=True, eq=False)
class Plan:
    """What a call of one program is: where its code is, what it takes and what it gives."""

    entry: int
    inputs: Sequence[Leaf]
    outputs: Sequence[Result]
    constants: Sequence[Any]
    hosts: Sequence[int]  # addresses
    arena_bytes: int
    threads: int
    alive: Any = None  # what must live as long as the function
    arenas: list[Any] = field(default_factory=list)  # free ones; a call takes one and puts it back


def native(plan: Plan, call: int) -> NativeCall:
    """A C function that carries out a plan; `call` is the address of the code of `emit_call`."""
    donors = {donor for _, _, donor in plan.outputs if donor is not None}
    leaves: list[tuple[ArrayType, type | None, int | None, bool]]
    leaves = [(type, number, None, i in donors) for i, (type, number) in enumerate(plan.inputs)]
    leaves += [(*result, False) for result in plan.outputs]
    shapes = [np.array(type.shape, np.int64) for type, *_ in leaves]
    records, makers = [], []
    for position, ((type, number, donor, donated), shape) in enumerate(zip(leaves, shapes, strict=True)):
        kind = _KINDS[number] if number else ARRAY if type.shape else NUMPY_SCALAR
        scalar = 0 if kind == ARRAY else id(number or type.dtype.type)
        size = type.nbytes
        if donor is not None:
            kind, scalar = INPUT, donor
        elif position >= len(plan.inputs) and size >= LARGE:
            makers.append(maker(type))
            kind, scalar = LARGE_ARRAY, id(makers[-1])
        needed = DENSE | WRITEABLE if donated else DENSE
        records += [kind, scalar, id(type.dtype), type.ndim, shape.ctypes.data, needed, size]
    counts = [len(plan.inputs), len(plan.outputs), len(plan.constants), len(plan.hosts)]
    header = [plan.entry, *counts, plan.arena_bytes, id(plan.arenas), plan.threads, len(donors)]
    words = np.array([*header, *records, *(x.ctypes.data for x in plan.constants), *plan.hosts], np.int64)
    method = _Method(b"compiled", call, _ONE_ARGUMENT, None)
    function: NativeCall = _new_function(ctypes.addressof(method), (words, plan, shapes, makers, method), None)
    return function


def portable(plan: Plan) -> NativeCall:
    """The same as a Python function that needs to know nothing about the memory of Python objects."""
    entry = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(plan.entry)

    donors = {donor for _, _, donor in plan.outputs if donor is not None}

    def fits(leaf: Any, type_: ArrayType, number: type | None, donated: bool) -> bool:
        if type(leaf) is np.ndarray and not number:
            return bool(
                leaf.dtype == type_.dtype
                and leaf.shape == type_.shape
                and leaf.flags.c_contiguous
                and leaf.flags.aligned
                and (leaf.flags.writeable or not donated)
            )
        return type_.shape == () and type(leaf) is (number or type_.dtype.type)

    def call(leaves: tuple[Any, ...]) -> Any:
        if len(leaves) != len(plan.inputs) or not all(
            fits(x, *leaf, i in donors) for i, (x, leaf) in enumerate(zip(leaves, plan.inputs, strict=True))
        ):
            return None
        if any(i != j and np.may_share_memory(leaves[i], x) for i in donors for j, x in enumerate(leaves)):
            return None
        try:
            inputs = [np.asarray(x, type.dtype) for x, (type, _) in zip(leaves, plan.inputs, strict=True)]
        except OverflowError:
            return None
        outputs = [
            np.empty(type.shape, type.dtype) if donor is None else leaves[donor] for type, _, donor in plan.outputs
        ]
        arena = np.empty(plan.arena_bytes, np.uint8)
        words = [x.ctypes.data for x in (*inputs, *plan.constants, *outputs, arena)]
        words += [plan.threads, *plan.hosts]
        status = entry((ctypes.c_void_p * len(words))(*words))
        if status:
            return status
        results = zip(outputs, plan.outputs, strict=True)
        return tuple([x if x.ndim else number(x[()]) if number else x[()] for x, (_, number, _) in results])

    return call


@once
def layout_is_known() -> bool:
    """Whether objects have their fields where `emit_call` looks for them."""

    def word(address: int, type: Any = ctypes.c_int64) -> Any:
        return type.from_address(address).value

    if HEAD != 16 or ctypes.sizeof(ctypes.c_void_p) != 8 or sys.byteorder != "little":
        return False
    x = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    turned = x.T
    fields: list[tuple[Any, Any]] = [
        (word(id(x) + TYPE), id(np.ndarray)),
        (word(id(x) + DATA), x.ctypes.data),
        (word(id(x) + RANK, ctypes.c_int32), 2),
        (word(word(id(x) + EXTENTS)), 2),
        (word(word(id(x) + EXTENTS) + 8), 3),
        (word(id(x) + DESCRIPTOR), id(x.dtype)),
        (word(id(x) + FLAGS, ctypes.c_int32) & (DENSE | WRITEABLE), DENSE | WRITEABLE),
        (word(id(turned) + FLAGS, ctypes.c_int32) & DENSE, 0x0100),
    ]
    pair, number = (x, None), 2.5
    fields += [
        (word(id(pair) + TUPLE), id(x)),
        (word(id(pair) + HEAD), 2),
        (word(id(number) + HEAD, ctypes.c_double), 2.5),
    ]
    for scalar in (np.float64(2.5), np.float32(2.5), np.int64(-3), np.int16(-3), np.uint8(200), np.True_):
        seen = (ctypes.c_char * scalar.itemsize).from_address(id(scalar) + HEAD).raw
        fields.append((seen, scalar.tobytes()))
    return all(found == expected for found, expected in fields)


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


_ONE_ARGUMENT = 0x0008  # METH_O
_new_function = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.py_object)(
    ("PyCFunction_NewEx", ctypes.pythonapi)
)

# -- what the machine code of calls refers to -------------------------------------------------------------------------

OBJECT = "fungrad_object_"
_OBJECTS = {"None": None, "tuple": tuple, "ndarray": np.ndarray, "uint8": np.dtype(np.uint8)}
_ARRAY_FUNCTIONS = {"PyArray_Scalar": 60, "PyArray_NewFromDescr": 94}  # positions in the table of NumPy's C interface


def address(name: str) -> int:
    """The address of an object or a function of Python or NumPy by the name `emit_call` gives it.

    Raises:
        KeyError: there is no such name.
    """
    if name.startswith(OBJECT):
        return id(_OBJECTS[name.removeprefix(OBJECT)])
    if name.startswith("PyArray_"):
        from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

        pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
            ("PyCapsule_GetPointer", ctypes.pythonapi)
        )
        table = pointer(_multiarray_umath._ARRAY_API, None)
        return int(ctypes.c_void_p.from_address(table + 8 * _ARRAY_FUNCTIONS[name]).value or 0)
    function = getattr(ctypes.pythonapi, name, None)
    if function is None:
        raise KeyError(name)
    return ctypes.cast(function, ctypes.c_void_p).value or 0
