"""The table of primitives and rules: `python -m tests.primitives.rule_table > docs/primitives.md` writes it.

It is read off the code: which methods a class defines, which partial derivatives a row of the elementwise table has,
and what the compiler says of an application to each dtype. What is missing must be declared in `HOLES` with its reason,
and nothing else may be declared.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np
from hypothesis import HealthCheck, Phase, find, settings

import fungrad.numpy as fnp
from fungrad import debug, make_graph
from fungrad.errors import FungradError
from fungrad.extend import njit_primitive
from fungrad.extend.kernel_call import KernelCall
from fungrad.ir.graph import Equation, Graph, Var
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import array_type, type_of
from fungrad.jit import small_matrices
from fungrad.jit.call import Call
from fungrad.jit.checked_index import with_checked_indices
from fungrad.jit.lower_table import POINTWISE, REDUCTIONS, STAGES, is_native
from fungrad.jit.product_sum import ProductSum
from fungrad.primitives.contract import Dot
from fungrad.primitives.elementwise import ELEMENTWISE, ROWS, Elementwise
from fungrad.primitives.index import Gather
from fungrad.regions.inline import KeptCustomVjp
from fungrad.testing.strategies import DTYPES
from tests.support.examples import EXAMPLES
from tests.support.several_results import SEVERAL_RESULTS

RULES = ("infer", "evaluate", "jvp", "vjp", "batch")
FAMILIES = POINTWISE.keys() | REDUCTIONS | STAGES.keys()
INLINED = (Call, Gather)  # become other operations of the program before its loops are written

CONSTANT = "constant almost everywhere, so its derivative is zero"
NO_REALS = "not a function of real numbers"
COMPILED = "only in graphs that are about to be compiled, after all transformations"
RARE = "evaluated by a call to NumPy, since it is rare"

CONSTANT_NAMES = (
    *("floor_divide", "sign", "floor", "ceil", "rint", "trunc", "isnan", "isinf", "isfinite", "signbit"),
    *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "ArgReduce", "ArgSort"),
    *("logical_and", "logical_or", "logical_xor", "logical_not"),
)
INTEGER_NAMES = ("bitwise_and", "bitwise_or", "bitwise_xor", "invert", "left_shift", "right_shift", "Threefry")

SMALL_NAMES = tuple(cls.__name__ for cls in small_matrices.FUNCTIONS)
MATRIX_NAMES = ("Eigh", "Svd", "Qr", "PseudoInverse")

HOLES: dict[tuple[str, str], str] = {
    **{(name, "derivative"): CONSTANT for name in CONSTANT_NAMES},
    **{(name, "native"): "evaluated by LAPACK through a call to NumPy" for name in MATRIX_NAMES},
    **{
        (name, "native"): (
            f"beyond {small_matrices.LARGEST_COFACTORS if name == 'Cofactors' else small_matrices.LARGEST} rows "
            "evaluated by LAPACK through a call to NumPy"
        )
        for name in SMALL_NAMES
    },
    **{(name, "derivative"): NO_REALS for name in INTEGER_NAMES},
    ("stop_gradient", "derivative"): "zero is what it is for",
    ("copysign", "derivative"): "constant in the second operand almost everywhere",
    ("nextafter", "derivative"): "constant in the second operand almost everywhere",
    ("select", "derivative"): "the first operand, the condition, is boolean",
    ("pow", "native"): "of integers, NumPy raises for negative exponents, so NumPy is called",
    ("reciprocal", "native"): "of integers, NumPy warns about 1 / 0, so NumPy is called",
    ("nextafter", "native"): RARE,
    ("Convert", "native"): (
        "from floats to unsigned integers the result out of range differs between machines, so NumPy is called"
    ),
    ("Dot", "native"): "of booleans " + RARE,
    ("ArgSort", "native"): "sorting is left to NumPy, which is called from compiled code",
    **{(name, rule): COMPILED for name in ("ProductSum", "Pick", "Put") for rule in ("jvp", "vjp", "batch")},
    **{("Positions", rule): COMPILED for rule in ("jvp", "vjp", "batch", "derivative")},
    ("Callback", "derivative"): "it has no results",
    ("Callback", "native"): "calling Python is what it is for",
    **{("KernelCall", rule): "only in compiled programs" for rule in ("infer", "jvp", "vjp", "batch", "native")},
    ("KeptCustomVjp", "infer"): "only on tapes, where its results are known",
    ("KeptCustomVjp", "evaluate"): "only on tapes, where its results are known",
    ("KeptCustomVjp", "batch"): "only on tapes, which are walked, not batched; in graphs CustomVjp takes its place",
    ("KeptCustomVjp", "native"): "only on tapes, which are not compiled; in graphs CustomVjp takes its place",
}


class Line(NamedTuple):
    """One line of the table: a name, a cell for each rule, and what is missing."""

    name: str
    cells: Sequence[str]
    holes: Sequence[str]


def _defines(cls: type, rule: str) -> bool:
    return getattr(cls, rule) is not getattr(Primitive, rule)


def _row_applications(row: str) -> Iterator[Equation]:
    """The row applied to vectors of every dtype it takes."""
    for dtype in DTYPES:
        types = [array_type((3,), dtype) for _ in ROWS[row].partials]
        if row == "select":
            types[0] = array_type((3,), np.dtype(np.bool_))
        try:
            out = ELEMENTWISE[row].infer(*types)
        except FungradError:
            continue
        yield Equation(ELEMENTWISE[row], tuple(map(Var, types)), (Var(out),))


def _applications(name: str) -> Iterator[Equation]:
    """Applications of a primitive of another family, to every dtype it takes."""
    if name in SEVERAL_RESULTS:
        for example in SEVERAL_RESULTS[name](np.float64):
            types = [type_of(np.asarray(x)) for x in example.drawn(np.random.default_rng(0), np.float64)]
            yield Equation(example.op, tuple(map(Var, types)), tuple(map(Var, example.op.infer(*types))))
        return
    once = settings(
        max_examples=1000, database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=HealthCheck
    )
    op, inputs = find(EXAMPLES[name](np.float64), lambda application: True, settings=once)
    for dtype in DTYPES:
        for target in DTYPES if name == "Convert" else [None]:
            used = op if target is None else type(op)(target)
            types = [array_type(x.shape, dtype if x.dtype == np.float64 else x.dtype) for x in map(np.asarray, inputs)]
            try:
                out = used.infer(*types)
            except FungradError:
                continue
            yield Equation(used, tuple(map(Var, types)), (Var(out),))


def _product_sum() -> list[Equation]:
    op = ProductSum(Dot((1,), (0,)))
    types = [array_type(shape, np.dtype(np.float64)) for shape in ((2, 3), (3, 4), (2, 4), ())]
    return [Equation(op, tuple(map(Var, types)), (Var(op.infer(*types)),))]


@njit_primitive
@numba.njit
def _cube(x):
    return x * x * x


@partial(njit_primitive, out=lambda x: x)
@numba.njit
def _fill(x, out):
    out[:] = 2 * x


def _traced(f: Callable[..., Any], *args: Any) -> Graph:
    return make_graph(f)(*args)


def _others() -> dict[type[Primitive], Sequence[Equation]]:
    """Applications of the classes that have no examples: those of users' functions, and those of the compiler."""
    x = np.arange(3.0)
    user = [_traced(_cube, x), _traced(_fill, x), _traced(lambda x: debug.print("{}", x), x)]
    picked = with_checked_indices(_traced(lambda x, i: x[i], x, np.array([0, 2])))
    rows = np.arange(3)
    changed = with_checked_indices(_traced(lambda i: 2 * fnp.at(np.zeros((3, 4)))[rows, i].add(1.0), rows))
    graphs = (*user, picked, changed)
    found = {type(e.op): [e] for graph in graphs for e in graph.equations if not isinstance(e.op, Elementwise)}
    return {**found, KernelCall: [], ProductSum: _product_sum(), KeptCustomVjp: []}


def _native(name: str, applications: Sequence[Equation]) -> tuple[str, bool]:
    """The cell for native loops, and whether every application has them."""
    flags = [isinstance(eqn.op, INLINED) or (type(eqn.op) in FAMILIES and is_native(eqn)) for eqn in applications]
    assert flags, f"{name}: no application"
    if name in SMALL_NAMES:  # whatever the sizes here
        return "some", False
    return ("yes" if all(flags) else "some" if any(flags) else "call"), all(flags)


def _row_line(row: str) -> Line:
    partials = [partial is not None for partial in ROWS[row].partials]
    derivative = "yes" if all(partials) else "some" if any(partials) else "zero"
    native, complete = _native(row, list(_row_applications(row)))
    holes = [*(["derivative"] if not all(partials) else []), *(["native"] if not complete else [])]
    return Line(row, ["yes", "yes", derivative, derivative, "yes", native], holes)


def _class_line(name: str, cls: type[Primitive], applications: Sequence[Equation]) -> Line:
    holes = [rule for rule in RULES if not _defines(cls, rule)]
    cells = ["no" if rule in holes else "yes" for rule in RULES]
    if all(not any(v.type.is_float for v in eqn.outputs) for eqn in applications) and applications:
        cells[2] = cells[3] = "zero"
        holes.append("derivative")
    native, complete = _native(name, applications) if applications else ("no", False)
    return Line(name, [*cells, native], holes if complete else [*holes, "native"])


def lines() -> list[Line]:
    """The lines of the table.

    Raises:
        AssertionError: something is missing that is not declared, or declared and not missing.
    """
    found = [_row_line(row) for row in ROWS]
    for name in [*(name for name in EXAMPLES if name not in ROWS), *SEVERAL_RESULTS]:
        applications = list(_applications(name))
        found.append(_class_line(name, type(applications[0].op), applications))
    found += [_class_line(cls.__name__, cls, applications) for cls, applications in _others().items()]
    forgotten = _concrete_names() - {line.name for line in found} - {"Elementwise"}
    assert not forgotten, f"without a line: {sorted(forgotten)}"
    missing = {(line.name, hole) for line in found for hole in line.holes}
    undeclared, stale = missing - HOLES.keys(), HOLES.keys() - missing
    assert not undeclared, f"not declared in HOLES: {sorted(undeclared)}"
    assert not stale, f"declared in HOLES, but not missing: {sorted(stale)}"
    return found


def _subclasses(cls: type) -> Iterator[type]:
    for derived in cls.__subclasses__():
        yield derived
        yield from _subclasses(derived)


def _concrete_names() -> set[str]:
    """The names of the library's primitives from which no other is derived."""
    found = [
        cls
        for cls in _subclasses(Primitive)
        if cls.__module__.startswith("fungrad.")
        and getattr(sys.modules[cls.__module__], cls.__name__, None) is cls  # not of an example in a docstring
    ]
    return {cls.__name__ for cls in found} - {base.__name__ for cls in found for base in cls.__mro__[1:]}


HEAD = """\
# Primitives and their rules

Every operation that fungrad records is one of these. `python -m tests.primitives.rule_table > docs/primitives.md`
writes this page from the code, and a test compares them. [Testing](testing.md) tells what is checked of each.

- *infer*: the type of the result; *evaluate*: the meaning, in NumPy.
- *jvp*, *vjp*: the rules of forward and reverse mode. **zero**: the derivative is zero or does not exist, and both
  modes treat it as zero; **some**: with respect to some operands it is.
- *batch*: the rule of `vmap`.
- *native*: whether compiled code has loops of its own for it. **call**: NumPy is called from compiled code; **some**:
  for some dtypes or sizes it is.

"""


def page() -> str:
    """The page."""
    found = lines()
    out = [HEAD, "| primitive | infer | evaluate | jvp | vjp | batch | native | what is missing, and why |\n"]
    out.append("|---|---|---|---|---|---|---|---|\n")
    for line in found:
        reasons: dict[str, list[str]] = {}
        for hole in line.holes:
            reasons.setdefault(HOLES[line.name, hole], []).append(hole)
        notes = "; ".join(f"{', '.join(holes)}: {reason}" for reason, holes in reasons.items())
        out.append(f"| `{line.name}` | {' | '.join(line.cells)} | {notes} |\n")
    return "".join(out)


if __name__ == "__main__":
    print(page(), end="")
