"""Classic mistakes. Each raises an error of ours that says which argument, what came, and what to do instead."""

import math
import re

import numpy as np
import pytest

import fungrad as fg
from fungrad import tree
from fungrad.errors import (
    ArgumentError,
    AxisError,
    ConcretizationError,
    DtypeError,
    FungradError,
    LeakedTracerError,
    MutationError,
    NonScalarError,
    NotDifferentiableError,
    OutOfBoundsError,
    ShapeError,
    StaticArgumentError,
    TreeError,
    UnsupportedError,
)

X = np.array([0.3, -0.7, 1.1])
M = np.arange(6.0).reshape(2, 3)
grad, jit, vjp = fg.grad, fg.jit, fg.vjp


def gradient(f, *args):
    return lambda: grad(lambda *a: np.sum(f(*a)))(*args)


def leaked(transform):
    box = []

    def keep(x):
        box.append(x)
        return np.sum(x)

    transform(keep)(X)
    return box[0]


def pull(f, ct, x=X):
    return lambda: vjp(f, x)[1](ct)


def update(x):
    x[5] = 1.0
    return x


def store_into_array(x):
    buffer = np.zeros(3)
    buffer[0] = x[0]
    return buffer


class Thing:
    pass


# (what the user did, the error's class, what the message says: a regex for each of its parts)
TRANSFORM_CASES = {
    # the function and what it returns
    "grad(f(x)) instead of grad(f)(x)": (
        lambda: grad(3.0),
        ArgumentError,
        ["grad takes a function", "float", r"grad\(f\)\(x\)"],
    ),
    "vjp of a value": (lambda: vjp(X, X), ArgumentError, ["vjp takes a function", "ndarray", r"vjp\(f\)"]),
    "jit of a value": (lambda: jit(X), ArgumentError, ["jit takes a function", "ndarray"]),
    "make_graph of a value": (lambda: fg.make_graph(3), ArgumentError, ["make_graph takes a function", "int"]),
    "vector loss": (
        lambda: grad(lambda x: x * 2)(X),
        NonScalarError,
        ["one real number", r"f64\[3\]", "np.sum or np.mean", "vjp"],
    ),
    "loss of shape (1,)": (
        lambda: grad(lambda x: x[:1])(X),
        NonScalarError,
        ["one real number", r"f64\[1\]", "np.sum"],
    ),
    "no return": (lambda: grad(lambda x: None)(X), NonScalarError, ["one real number", "None", "return"]),
    "integer loss": (
        lambda: grad(lambda x: np.argmax(x))(X),
        NonScalarError,
        ["one real number", r"i64\[\]", "floating point"],
    ),
    "boolean loss": (
        lambda: grad(lambda x: x > 0)(1.0),
        NonScalarError,
        ["one real number", r"bool\[\]", "floating point"],
    ),
    "tuple as loss": (
        lambda: grad(lambda x: (np.sum(x), x))(X),
        NonScalarError,
        ["one real number", "tuple", "has_aux=True"],
    ),
    "dict as loss": (
        lambda: grad(lambda x: {"loss": np.sum(x)})(X),
        NonScalarError,
        ["one real number", "dict", "loss"],
    ),
    "string as loss": (lambda: grad(lambda x: "low")(X), NonScalarError, ["one real number", "str"]),
    "complex loss": (lambda: grad(lambda x: 1j)(X), NonScalarError, ["one real number", "complex"]),
    "has_aux without a pair": (
        lambda: grad(lambda x: np.sum(x), has_aux=True)(X),
        ArgumentError,
        ["has_aux=True", "pair", r"\*"],
    ),
    "has_aux with three": (
        lambda: grad(lambda x: (np.sum(x), 1, 2), has_aux=True)(X),
        ArgumentError,
        ["has_aux=True", "pair"],
    ),
    "vjp has_aux without a pair": (lambda: vjp(lambda x: x, X, has_aux=True), ArgumentError, ["has_aux=True", "pair"]),
    # which arguments
    "argnums out of range": (lambda: grad(np.sum, 1)(X), ArgumentError, ["argnums=1", "1 positional"]),
    "argnums too negative": (lambda: grad(np.sum, -2)(X), ArgumentError, ["argnums=-2", "argument -2"]),
    "argnums by name": (lambda: grad(np.sum, "x")(X), ArgumentError, ["argnums", "int or a tuple of ints", "'x'"]),
    "argnums as float": (lambda: grad(np.sum, 0.0)(X), ArgumentError, ["argnums", "int", "0.0"]),
    "argnums empty": (lambda: grad(np.sum, ())(X), ArgumentError, ["argnums", "at least one"]),
    "argnums twice": (lambda: grad(lambda a, b: a, (0, 0))(1.0, 2.0), ArgumentError, [r"argnums=\(0, 0\)", "once"]),
    "differentiated by keyword": (lambda: grad(lambda x: x)(x=1.0), ArgumentError, ["argnums=0", "passed by position"]),
    "integer to differentiate": (
        lambda: grad(lambda x: x * 1.0)(3),
        NotDifferentiableError,
        ["x has type i64", "integer", "3.0 instead of 3"],
    ),
    "integer array": (
        lambda: grad(np.sum)(np.arange(3)),
        NotDifferentiableError,
        [r"i64\[3\]", r"astype\(np.float64\)"],
    ),
    "boolean array": (lambda: grad(np.sum)(X > 0), NotDifferentiableError, [r"bool\[3\]", "boolean", "argnums"]),
    "integer deep in parameters": (
        lambda: grad(lambda params: params["w"][0] * 1.0)({"w": [1]}),
        NotDifferentiableError,
        [r"params\['w'\]\[0\]", "integer"],
    ),
    "integer in vjp": (lambda: vjp(lambda x: x, 3), NotDifferentiableError, ["vjp: x", "integer"]),
    # what may be passed
    "list of objects": (lambda: grad(lambda p: 1.0)([1.0, Thing()]), TreeError, [r"p\[1\]", "Thing", "register"]),
    "string argument": (lambda: grad(lambda mode: 1.0)("train"), TreeError, ["mode is a builtins.str", "static"]),
    "complex array": (
        lambda: grad(np.sum)(X + 1j),
        DtypeError,
        ["complex128", "real numbers|float64|not supported", "astype"],
    ),
    "float16 array": (lambda: grad(np.sum)(X.astype(np.float16)), DtypeError, ["float16", "not supported", "astype"]),
    "object array": (lambda: grad(np.sum)(np.array([1.0, None])), DtypeError, ["object", "not supported"]),
    "string array": (lambda: grad(np.sum)(np.array(["a"])), DtypeError, ["<U1|str", "not supported"]),
    "masked array": (
        lambda: grad(np.sum)(np.ma.masked_array(X, X > 0)),
        TreeError,
        ["MaskedArray", "plain arrays", "masks"],
    ),
    "another subclass of ndarray": (
        lambda: grad(np.sum)(X.view(np.recarray)),
        TreeError,
        ["recarray", r"np.array\(x\)"],
    ),
    "set of arrays": (lambda: grad(lambda s: 1.0)({1.0}), TreeError, ["s is a builtins.set", "register"]),
    "a tracer kept after grad": (
        lambda: leaked(grad) + 1,
        LeakedTracerError,
        [r"f64\[3\]", "under grad", "had finished", "Return it"],
    ),
    "a tracer kept after jit": (lambda: np.sin(leaked(jit)), LeakedTracerError, ["under jit", "stored", "Return it"]),
    "grad that returns a leaked tracer": (
        lambda: grad(lambda x: leaked(jit))(X),
        FungradError,
        ["under jit", "Return it"],
    ),
    "vjp that returns a leaked tracer": (
        lambda: vjp(lambda x: leaked(jit), X),
        LeakedTracerError,
        ["under jit", "Return it"],
    ),
    "a leaked tracer as an argument": (
        lambda: grad(np.sum)(leaked(jit)),
        LeakedTracerError,
        ["under jit", "Return it"],
    ),
    "jit that returns a leaked tracer": (
        lambda: jit(lambda x: leaked(jit))(X),
        LeakedTracerError,
        ["under jit", "Return it"],
    ),
    "huge Python integer": (lambda: jit(lambda n: n)(2**70), DtypeError, [str(2**70), "64 bits"]),
    # pullbacks
    "cotangent of another shape": (
        pull(lambda x: x * 2, np.ones(2)),
        ShapeError,
        [r"ct is f64\[2\]", r"expected the type of the output, f64\[3\]"],
    ),
    "cotangent of another dtype": (
        pull(lambda x: x * 2, np.ones(3, np.float32)),
        (ShapeError, DtypeError),
        [r"ct is f32\[3\]", r"f64\[3\]"],
    ),
    "cotangent tree mismatch": (pull(lambda x: (x, x), [X, X]), TreeError, ["ct has", r"\[\*, \*\]", r"\(\*, \*\)"]),
    "cotangent too few": (
        pull(lambda x: (x, x), (X,)),
        TreeError,
        ["ct has the structure", r"\(\*,\)", r"\(\*, \*\)"],
    ),
    "cotangent dict key": (pull(lambda x: {"a": x}, {"b": X}), TreeError, ["'b'", "'a'"]),
    "cotangent deep shape": (pull(lambda x: {"a": [x]}, {"a": [1.0]}), ShapeError, [r"ct\['a'\]\[0\]", r"f64\[3\]"]),
    "cotangent is a string": (pull(lambda x: x, "one"), TreeError, ["ct", "str"]),
    # jit's own arguments
    "unhashable static argument": (
        lambda: jit(lambda x, n: x, static_argnums=1)(1.0, [1, 2]),
        StaticArgumentError,
        ["argument 1|argument n", "list", "hashable", "tuple"],
    ),
    "array as static argument": (
        lambda: jit(lambda x, n: x, static_argnames="n")(1.0, n=X),
        StaticArgumentError,
        ["n is a ndarray", "traced, not static"],
    ),
    "static_argnums out of range": (
        lambda: jit(lambda x: x, static_argnums=3),
        StaticArgumentError,
        ["static_argnums=3", "1 positional"],
    ),
    "static_argnums not an int": (
        lambda: jit(lambda x: x, static_argnums="x"),
        StaticArgumentError,
        ["static_argnums", "'x'"],
    ),
    "static_argnames unknown": (
        lambda: jit(lambda x: x, static_argnames="mode"),
        StaticArgumentError,
        ["'mode'", "no such parameter"],
    ),
    "jit returns an object": (lambda: jit(lambda x: Thing())(X), (TreeError, ArgumentError), ["result", "Thing"]),
    "string argument to jit": (
        lambda: jit(lambda x, mode: x)(X, "train"),
        TreeError,
        ["mode is a builtins.str", "static_argnums"],
    ),
    # trees
    "tree.map of other structures": (
        lambda: tree.map(lambda a, b: a, {"a": 1}, {"b": 1}),
        TreeError,
        ["tree 2", "'b'", "'a'"],
    ),
    "unflatten with too few leaves": (
        lambda: tree.unflatten(tree.structure((1, 2)), [1]),
        TreeError,
        ["2 leaves", "got 1"],
    ),
    "registering twice": (lambda: tree.register(tuple, len, len), TreeError, ["tuple", "already", "once"]),
}

# mistakes inside a function: (f, arguments, class, parts of the message); tried under grad and under jit
FUNCTION_CASES = {
    "matmul of shapes that do not fit": (
        lambda x: M @ x[:2],
        (X,),
        ShapeError,
        ["matmul", r"\(2, 3\)|2,3", r"\(2,\)|f64\[2\]|\[2\]"],
    ),
    "matmul with a scalar": (lambda x: x @ 2.0, (X,), ShapeError, ["matmul", "0-d|scalar"]),
    "dot of shapes that do not fit": (lambda x: np.dot(x, np.ones(4)), (X,), ShapeError, ["dot", "3", "4"]),
    "broadcast mismatch": (lambda x: x + np.ones(4), (X,), ShapeError, ["add", r"\(3,\)", r"\(4,\)", "broadcast"]),
    "broadcast mismatch of a bias": (lambda x: M + x[:2], (X,), ShapeError, ["add", r"\(2, 3\)", r"\(2,\)"]),
    "where of shapes": (lambda x: np.where(x > 0, x, np.ones(2)), (X,), ShapeError, ["where", r"\(3,\)", r"\(2,\)"]),
    "broadcast_to a smaller shape": (
        lambda x: np.broadcast_to(x, (2, 2)),
        (X,),
        ShapeError,
        ["broadcast", "3", r"\(2, 2\)"],
    ),
    "reshape to another size": (lambda x: x.reshape(2, 2), (X,), ShapeError, ["reshape", "3", r"\(2, 2\)"]),
    "reshape with two unknowns": (lambda x: x.reshape(-1, -1), (X,), (ShapeError, ArgumentError), ["reshape", "-1"]),
    "axis out of range": (lambda x: np.sum(x, axis=1), (X,), AxisError, ["sum", "axis", "1"]),
    "axis out of range of max": (lambda x: x.max(axis=-2), (X,), AxisError, ["max|amax", "-2"]),
    "axis twice": (lambda x: np.sum(x, axis=(0, 0)), (X,), AxisError, ["sum", r"0"]),
    "axis as a float": (lambda x: np.sum(x, axis=0.5), (X,), (AxisError, ArgumentError), ["axis", "0.5"]),
    "concatenate of shapes": (
        lambda x: np.concatenate([x[None], M[:, :2]]),
        (X,),
        ShapeError,
        ["concatenate", "operand 1|array 1|item 1", "2"],
    ),
    "concatenate of ranks": (lambda x: np.concatenate([x, M]), (X,), ShapeError, ["concatenate", "1"]),
    "concatenate of nothing traced along axis 3": (
        lambda x: np.concatenate([x, x], axis=3),
        (X,),
        AxisError,
        ["concatenate", "3"],
    ),
    "stack of shapes": (lambda x: np.stack([x, x[:2]]), (X,), ShapeError, ["stack", r"\(2,\)", r"\(3,\)"]),
    "einsum of extents": (lambda x: np.einsum("i,i->", x, np.ones(4)), (X,), ShapeError, ["einsum", "3", "4"]),
    "einsum of rank": (lambda x: np.einsum("ij->i", x), (X,), (ShapeError, ArgumentError), ["einsum", "ij"]),
    "einsum of operands": (lambda x: np.einsum("i,i->", x), (X,), (ShapeError, ArgumentError), ["einsum", "1|one|2"]),
    "einsum of an unknown output": (lambda x: np.einsum("i->k", x), (X,), (ShapeError, ArgumentError), ["einsum", "k"]),
    "index out of bounds": (lambda x: x[3], (X,), OutOfBoundsError, ["3", "out of bounds", "extent 3|size 3"]),
    "negative index out of bounds": (lambda x: x[-4], (X,), OutOfBoundsError, ["-4", "out of bounds"]),
    "array index out of bounds": (lambda x: x[np.array([0, 3])], (X,), OutOfBoundsError, ["out of bounds", "3"]),
    "too many indices": (
        lambda x: x[0, 1],
        (X,),
        (ShapeError, OutOfBoundsError, ArgumentError),
        ["2 ind|too many", r"f64\[3\]|1"],
    ),
    "float index": (lambda x: x[1.5], (X,), FungradError, ["index", "1.5|float"]),
    "string index": (lambda x: x["w"], (X,), FungradError, ["index", "'w'|str"]),
    "mask of another shape": (lambda x: x[np.array([True, False])], (X,), FungradError, ["mask|bool", "2", "3"]),
    "assignment out of bounds": (lambda x: update(x * 1.0), (X,), OutOfBoundsError, ["5", "out of bounds"]),
    "storing a traced value in an ndarray": (store_into_array, (X,), FungradError, ["array", "fungrad.numpy|fnp"]),
    "float of a vector": (lambda x: float(x), (X,), FungradError, ["float"]),
    "np.asarray of a traced array": (
        lambda x: np.asarray(x) * 2,
        (X,),
        ConcretizationError,
        ["array", "fungrad.numpy|stop_gradient|np"],
    ),
    "np.array of traced values": (
        lambda x: np.array([x[0], x[1]]),
        (X,),
        FungradError,
        ["array", "fungrad.numpy.array|fnp.array|np.stack"],
    ),
    "math.sin of a traced value": (lambda x: math.sin(x[0]), (X,), ConcretizationError, ["float", "np."]),
    "int of a traced value": (lambda x: int(x[0]) * x, (X,), ConcretizationError, ["int"]),
    "out= while tracing": (lambda x: np.sin(x, out=np.zeros(3)), (X,), UnsupportedError, ["out=", "y = np.sin"]),
    "out= of a reduction": (lambda x: np.sum(x, out=np.zeros(())), (X,), UnsupportedError, ["out="]),
    "unsupported function": (lambda x: np.unique(x), (X,), UnsupportedError, ["np.unique", "plain arrays"]),
    "complex result dtype": (
        lambda x: np.prod(x, dtype=np.complex128),
        (X,),
        DtypeError,
        ["complex128", "not supported"],
    ),
    "eigenvalues": (lambda x: np.linalg.eig(M.T @ M * x[0]), (X,), UnsupportedError, ["linalg.eig"]),
    "complex numbers": (lambda x: x * 1j, (X,), DtypeError, ["complex"]),
    "object operand": (lambda x: x + np.array([None] * 3), (X,), DtypeError, ["object"]),
    "string operand": (lambda x: np.add(x, "1"), (X,), FungradError, ["str"]),
    "None operand": (lambda x: np.multiply(x, None), (X,), FungradError, ["NoneType"]),
    "object of another class": (lambda x: x * Thing(), (X,), DtypeError, ["Thing", "not an array or a number"]),
    "masked array operand": (
        lambda x: x * np.ma.masked_array(X, X > 0),
        (X,),
        UnsupportedError,
        ["MaskedArray", r"np.array\(x\)"],
    ),
    "bitwise on floats": (lambda x: x & 1, (X,), DtypeError, ["bitwise_and", "float64"]),
    "Python integer too large": (
        lambda x: np.sum(x) * np.sum(x.astype(np.int8) + 1000),
        (X,),
        DtypeError,
        ["1000", "int8"],
    ),
    "maximum of nothing": (lambda x: np.max(x[:0]), (X,), ShapeError, ["max", "no elements|empty"]),
    "argmax of nothing": (lambda x: np.argmax(x[:0]), (X,), ShapeError, ["argmax", "no elements|empty"]),
    "transpose with wrong axes": (lambda x: np.transpose(x, (0, 1)), (X,), FungradError, ["transpose", r"\(0, 1\)"]),
    "squeeze of a long axis": (lambda x: np.squeeze(x, 0), (X,), FungradError, ["squeeze", "0", "3"]),
    "weights of another shape": (
        lambda x: np.bincount([0, 1], x[:2][None]),
        (X,),
        FungradError,
        ["np.bincount", r"\(1, 2\)"],
    ),
    "an index that is a time": (lambda x: x[np.timedelta64(1)], (X,), FungradError, ["timedelta64"]),
    "map of a number": (lambda x: fg.lax.map(np.sin, np.sum(x)), (X,), FungradError, ["map: xs", "leading axis"]),
    "map of nothing": (lambda x: fg.lax.map(np.sin, {}), (X,), FungradError, ["map: xs holds no arrays"]),
    "attribute that does not exist": (lambda x: x.detach(), (X,), AttributeError, ["detach"]),
    "iterating over a number": (lambda x: list(np.sum(x)), (X,), FungradError, ["0-d|iterate"]),
    "len of a number": (lambda x: len(np.sum(x)), (X,), FungradError, ["0-d|len"]),
}

# what only fails where values are unknown
ABSTRACT_CASES = {
    "if on a traced value": (lambda x: x if x[0] > 0 else -x, ["bool|if", "np.where"]),
    "while on a traced value": (lambda x: [x := x / 2 for _ in range(3) if np.sum(x) > 1], ["bool|if", "np.where"]),
    "and of traced values": (lambda x: x if (x[0] > 0 and x[1] > 0) else -x, ["np.where|np.logical_and|&"]),
    "boolean mask": (lambda x: x[x > 0], ["mask|bool", "np.where"]),
    "np.nonzero": (lambda x: np.nonzero(x), ["nonzero", "np.where|values|shape"]),
    "range of a traced integer": (lambda x: [x for _ in range(np.argmax(x))], ["int|index", "static"]),
    "a traced number of tiles": (lambda x: np.tile(x, np.argmax(x)), ["iterated", "must be known", "static"]),
    "a traced number of parts": (lambda x: np.split(x, np.argmax(x)), ["iterated", "must be known", "static"]),
    "a traced length of a scan": (
        lambda x: fg.lax.scan(lambda c, _: (c, None), x, length=np.argmax(x)),
        ["scan: length", "non-negative int", "static"],
    ),
    "a traced number of classes": (lambda x: fg.nn.one_hot([0], np.argmax(x)), ["one_hot: classes", "static"]),
    "repeats that are traced": (lambda x: np.repeat(x, np.argsort(x)), ["repeat|array"]),
    "max() of traced values": (lambda x: max(x[0], x[1]), ["bool|if", "np.where|np.maximum"]),
}


def check(action, kind, parts):
    with pytest.raises(kind) as caught:
        action()
    if kind is not AttributeError:
        assert isinstance(caught.value, FungradError), f"{type(caught.value).__name__} is not an error of ours"
    message = str(caught.value)
    missing = [part for part in parts if not re.search(part, message)]
    assert not missing, f"the message does not say {missing}: {message}"
    assert len(message) < 700


@pytest.mark.parametrize("case", TRANSFORM_CASES)
def test_mistakes_with_transformations(case):
    check(*TRANSFORM_CASES[case])


@pytest.mark.parametrize("case", FUNCTION_CASES)
@pytest.mark.parametrize("under", ["grad", "jit"])
def test_mistakes_inside_functions(case, under):
    f, args, kind, parts = FUNCTION_CASES[case]
    action = gradient(f, *args) if under == "grad" else lambda: jit(f)(*args)
    check(action, kind, parts)


@pytest.mark.parametrize("case", ABSTRACT_CASES)
def test_values_that_are_not_known_under_jit(case):
    f, parts = ABSTRACT_CASES[case]
    check(lambda: jit(f)(X), FungradError, [*parts, "under jit|test_bad_input"])


def test_messages_show_the_users_line():
    with pytest.raises(ShapeError, match=r"test_bad_input.py:\d+: grad\(lambda x: np.sum\(x \+ np.ones\(4\)\)\)\(X\)"):
        grad(lambda x: np.sum(x + np.ones(4)))(X)


def test_there_are_enough_cases():
    assert len(TRANSFORM_CASES) + len(FUNCTION_CASES) + len(ABSTRACT_CASES) >= 60


def test_tracers_collected_by_a_compiled_function_are_reported_when_used():
    seen = []
    f = jit(lambda x: seen.append(x * 2) or x)
    f(X)
    for use in (
        lambda t: t + 1,
        lambda t: np.sum(t),
        lambda t: t[0],
        lambda t: t @ X,
        lambda t: grad(lambda x: np.sum(x * t))(X),
    ):
        with pytest.raises(LeakedTracerError, match="under jit"):
            use(seen[0])


def test_in_place_assignment_where_sharing_is_unsure():
    def f(x):
        y = x * 1.0
        z = y.reshape(-1)
        y[0] = 5.0
        return np.sum(z)

    try:
        found = grad(f)(X)
    except MutationError as error:
        assert "copy" in str(error)  # noqa: PT017
    else:
        np.testing.assert_array_equal(found, [0.0, 1.0, 1.0])
