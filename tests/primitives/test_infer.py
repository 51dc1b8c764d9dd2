"""`infer` refuses operands that do not fit, with an error of ours that says which and why."""

import numpy as np
import pytest

from fungrad.errors import AxisError, DtypeError, FungradError, ShapeError
from fungrad.ir.types import array_type, type_of
from fungrad.primitives.contract import Dot
from fungrad.primitives.convert import Convert
from fungrad.primitives.determinants import Det, LogDet
from fungrad.primitives.elementwise import ELEMENTWISE, ROWS
from fungrad.primitives.factorizations import Eigh, PseudoInverse, Qr, Svd
from fungrad.primitives.index import Gather, Scatter, ScatterAdd
from fungrad.primitives.linalg import Cholesky, Inverse, Solve, TriangularSolve
from fungrad.primitives.random import Threefry
from fungrad.primitives.reduce import ArgReduce, CumSum, Reduce, Sum
from fungrad.primitives.shape import Broadcast, Concatenate, Flip, Pad, Reshape, Slice, Transpose
from fungrad.primitives.sort import ArgSort
from tests.support.programs import ALL_DTYPES


def t(*shape, dtype=np.float64):
    return array_type(shape, np.dtype(dtype))


INDEX = t(2, dtype=np.int64)

BAD = [
    (ELEMENTWISE["add"], [t(3), t(4)], ShapeError, r"operand 0 has type f64\[3\], expected shape \(4,\)"),
    (
        ELEMENTWISE["add"],
        [t(3), t(3, dtype=np.float32)],
        DtypeError,
        r"operand 0 has type f64\[3\], expected dtype float32",
    ),
    (ELEMENTWISE["add"], [t(3)], ShapeError, "takes 2 operands, got 1"),
    (ELEMENTWISE["sin"], [t(3), t(3)], ShapeError, "takes 1 operands, got 2"),
    (ELEMENTWISE["sin"], [t(3, dtype=np.int64)], DtypeError, r"sin is not defined for i64\[3\]"),
    (ELEMENTWISE["neg"], [t(3, dtype=np.bool_)], DtypeError, "neg is not defined for bool"),
    (ELEMENTWISE["bitwise_and"], [t(3), t(3)], DtypeError, "bitwise_and is not defined for f64"),
    (ELEMENTWISE["logistic"], [t(3, dtype=np.int8)], DtypeError, "logistic is not defined for i8"),
    (ELEMENTWISE["select"], [t(3), t(3), t(3)], DtypeError, "condition must be bool"),
    (Broadcast((2, 4)), [t(3)], ShapeError, r"f64\[3\] does not broadcast to shape \(2, 4\)"),
    (Broadcast((3,)), [t(1, 3)], ShapeError, "does not broadcast"),
    (Reshape((4,)), [t(3)], ShapeError, "3 elements, shape .* has 4"),
    (Transpose((0, 0)), [t(2, 3)], ShapeError, "not a permutation"),
    (Transpose((0,)), [t(2, 3)], ShapeError, "not a permutation"),
    (Slice((0,), (4,), (1,)), [t(3)], ShapeError, "lies outside"),
    (Slice((2,), (1,), (1,)), [t(3)], ShapeError, "lies outside"),
    (Slice((0,), (1,), (0,)), [t(3)], ShapeError, "lies outside"),
    (Pad((1,), (0,), (0,)), [t(3), t(1)], ShapeError, "fill value must be 0-d"),
    (Pad((1,), (0,), (0,)), [t(3), t(dtype=np.float32)], DtypeError, "fill value has type"),
    (Pad((-1,), (0,), (0,)), [t(3), t()], ShapeError, "must not be negative"),
    (Concatenate(0), [t(2, 3), t(2, 4)], ShapeError, r"operand 1 is f64\[2,4\]"),
    (Concatenate(0), [t(2), t(2, dtype=np.float32)], DtypeError, "operand 1"),
    (Concatenate(0), [t(2), t(2, 1)], ShapeError, "operand 1"),
    (Flip((1,)), [t(3)], (ShapeError, AxisError), "not axes"),
    (Sum((1,)), [t(3)], AxisError, "not distinct axes"),
    (Sum((0, 0)), [t(3)], AxisError, "not distinct axes"),
    (Sum((0,)), [t(3, dtype=np.bool_)], DtypeError, "converted to an integer"),
    (Reduce("max", (0,)), [t(0)], ShapeError, "no elements"),
    (Reduce("any", (0,)), [t(3)], DtypeError, "expected bool"),
    (Reduce("prod", (0,)), [t(3, dtype=np.bool_)], DtypeError, "expected numbers"),
    (ArgReduce("max", 0), [t(0)], ShapeError, "no elements"),
    (ArgReduce("min", 2), [t(3)], AxisError, "axes"),
    (CumSum(1), [t(3)], AxisError, "axes"),
    (Threefry((3,)), [t(2), t(dtype=np.uint64)], ShapeError, r"key has type f64\[2\], expected u32"),
    (Threefry((3,)), [t(3, dtype=np.uint32), t(dtype=np.uint64)], ShapeError, "key has type"),
    (Threefry((3,)), [t(2, dtype=np.uint32), t()], DtypeError, "start has type f64"),
    (Threefry((3,)), [t(2, dtype=np.uint32), t(1, dtype=np.uint64)], ShapeError, "start has type"),
    (ArgSort(1), [t(3)], AxisError, "not an axis"),
    (Dot((0,), (0,)), [t(3), t(4)], ShapeError, "axis 0 of .* different extents"),
    (Dot((0,), (0,)), [t(3), t(3, dtype=np.float32)], DtypeError, "one dtype"),
    (Dot((1,), (0,)), [t(3), t(3)], AxisError, r"axis 1 of f64\[3\] or axis 0"),
    (Gather(), [t(3)], ShapeError, "0 index arrays"),
    (Gather(), [t(3), INDEX, INDEX], ShapeError, "2 index arrays"),
    (Gather(), [t(3), t(2)], DtypeError, "expected integers"),
    (Gather(), [t(3, 3), INDEX, t(4, dtype=np.int64)], ShapeError, "index 1"),
    (Scatter(), [t(3), t(3), INDEX], ShapeError, r"updates are f64\[3\], expected shape \(2,\)"),
    (ScatterAdd(), [t(3), t(2, dtype=np.float32), INDEX], DtypeError, "updates are f32"),
    (Convert(np.dtype(np.complex128)), [t(3)], DtypeError, "complex128"),
    (Cholesky(), [t(2, 3)], ShapeError, r"cholesky: f64\[2,3\] is not a square matrix"),
    (Inverse(), [t(3)], ShapeError, "not a square matrix"),
    (Det(), [t(3, 3, dtype=np.int64)], DtypeError, "converted to floats"),
    (LogDet(), [t()], ShapeError, "logdet: .* not a square matrix"),
    (Eigh(), [t(2, 3)], ShapeError, r"eigh: f64\[2,3\] is not a square matrix"),
    (Svd(), [t(3)], ShapeError, r"svd: f64\[3\] is not a matrix"),
    (Svd(), [t(2, 3, dtype=np.int64)], DtypeError, "converted to floats"),
    (Qr(), [t(2, 3)], ShapeError, r"qr: f64\[2,3\] has more columns than rows"),
    (PseudoInverse(1e-6), [t()], ShapeError, "pseudoinverse: .* not a matrix"),
    (Solve(), [t(3, 3), t(3)], ShapeError, r"f64\[3\] are not right-hand sides for f64\[3,3\]"),
    (Solve(), [t(2, 3, 3), t(3, 3, 1)], ShapeError, "right-hand sides"),
    (TriangularSolve(True), [t(3, 3), t(3, 1, dtype=np.float32)], DtypeError, "one dtype"),
    (TriangularSolve(True), [t(2, 3), t(2, 1)], ShapeError, "triangular_solve: .* not a square matrix"),
]


@pytest.mark.parametrize(("op", "types", "error", "message"), BAD, ids=lambda x: getattr(x, "name", None))
def test_bad_operands_are_refused(op, types, error, message):
    assert issubclass(error if isinstance(error, type) else error[0], FungradError)
    with pytest.raises(error, match=message):
        op.infer(*types)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
def test_a_row_is_inferred_exactly_where_numpy_computes_in_that_dtype(row, dtype):
    arity = len(ROWS[row].partials)
    arrays = [np.ones(2, np.bool_ if row == "select" and i == 0 else dtype) for i in range(arity)]
    try:
        with np.errstate(all="ignore"):
            out = ROWS[row].function(*arrays)
    except TypeError:
        out = None
    try:
        inferred = ELEMENTWISE[row].infer(*map(type_of, arrays))
    except DtypeError:
        # not defined, or NumPy promotes the operands first
        assert out is None or out.dtype != dtype or dtype.kind != "f"
    else:
        assert out is not None
        assert type_of(out) == inferred
