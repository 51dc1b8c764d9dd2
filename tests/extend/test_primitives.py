"""Primitives defined outside of fungrad, by the contract: as calls back to NumPy, and with loops from NumPy code."""

from dataclasses import dataclass

import numpy as np
import pytest

import fungrad as fg
from fungrad import lax
from fungrad.errors import ArgumentError, ShapeError
from fungrad.extend import Linear, Primitive, array_type, bind, lowering
from fungrad.testing.batch_rules import check_batch_rule
from fungrad.testing.rules import check_rules

X = np.array([0.5, -1.0, 2.0, 0.25])


@dataclass(frozen=True)
class Rolled(Linear):
    """`x` with its elements moved `by` places along `axis`, those that fall off at the end coming in at the start."""

    by: int
    axis: int = 0

    def infer(self, x):
        return x

    def evaluate(self, x):
        return np.roll(x, self.by, self.axis)

    def transpose(self, ct, x):
        return bind(Rolled(-self.by, self.axis), ct)

    def batch(self, size, inputs, batched):
        return bind(Rolled(self.by, self.axis + 1), *inputs)


@dataclass(frozen=True)
class NativeRolled(Rolled):
    """The same with loops."""

    def transpose(self, ct, x):
        return bind(NativeRolled(-self.by, self.axis), ct)

    def batch(self, size, inputs, batched):
        return bind(NativeRolled(self.by, self.axis + 1), *inputs)


@lowering(NativeRolled)
def rolled(op, x):
    cut = -op.by % x.shape[op.axis] if x.shape[op.axis] else 0
    front, back = np.split(x, [cut], axis=op.axis)
    return np.concatenate([back, front], axis=op.axis)


@dataclass(frozen=True)
class Polar(Primitive):
    """Length and angle of points."""

    multiple = True

    def infer(self, x, y):
        if x != y:
            raise ShapeError(f"polar: operands {x} and {y} must have one type")
        return x, x

    def evaluate(self, x, y):
        return np.hypot(x, y), np.arctan2(y, x)

    def jvp(self, tangents, inputs, out):
        x, y = inputs
        r, _ = out
        dx, dy = (np.zeros_like(r) if t is None else t for t in tangents)
        return (x * dx + y * dy) / r, (x * dy - y * dx) / r**2

    def vjp(self, ct, inputs, out, wanted):
        x, y = inputs
        r, _ = out
        dr, da = (np.zeros_like(r) if c is None else c for c in ct)
        return [
            x / r * dr - y / r**2 * da if wanted[0] else None,
            y / r * dr + x / r**2 * da if wanted[1] else None,
        ]

    def batch(self, size, inputs, batched):
        x, y = (x if has else np.broadcast_to(x, (size, *x.shape)) for x, has in zip(inputs, batched, strict=True))
        return bind(self, x, y)


@dataclass(frozen=True)
class NativePolar(Polar):
    """The same with loops."""


@lowering(NativePolar)
def polar(op, x, y):
    return np.sqrt(x * x + y * y), np.arctan2(y, x)


def spiral(x, rolled_class, polar_op):
    def step(carry, turn):
        r, a = bind(polar_op, carry + 3.0, bind(rolled_class(1), carry) + turn)
        return np.sin(r) * a, np.sum(r)

    last, sums = lax.scan(step, x, np.array([0.1, 0.2, 0.3]))
    return np.sum(last * last) + np.sum(sums)


def plain(x):
    for turn in (0.1, 0.2, 0.3):
        a, b = x + 3.0, np.roll(x, 1) + turn
        yield np.sqrt(a * a + b * b)
        x = np.sin(np.sqrt(a * a + b * b)) * np.arctan2(b, a)
    yield x


def numpy_spiral(x):
    *radii, last = plain(x)
    return np.sum(last * last) + sum(np.sum(r) for r in radii)


TRANSFORMS = {
    "f": lambda f: f,
    "jit": fg.jit,
    "grad": fg.grad,
    "jit(grad)": lambda f: fg.jit(fg.grad(f)),
    "jit(hessian)": lambda f: fg.jit(fg.hessian(f)),
    "jit(vmap(grad))": lambda f: lambda x: fg.jit(fg.vmap(fg.grad(f)))(np.stack([x, 2 * x])),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("ops", [(Rolled, Polar()), (NativeRolled, NativePolar())], ids=["host", "native"])
def test_primitives_from_outside(name, ops):
    transform = TRANSFORMS[name]
    found = transform(lambda x: spiral(x, *ops))(X)
    np.testing.assert_allclose(found, transform(numpy_spiral)(X), rtol=1e-11, atol=1e-11)


def test_the_contract_is_checked_by_our_own_checkers():
    rng = np.random.default_rng(0)
    for op in (Rolled(2), NativeRolled(-1)):
        check_rules(op, [X], rng)
        check_batch_rule(op, [X], rng)


def test_lowered_primitives_need_no_callback():
    for ops, calls in (((Rolled, Polar()), True), ((NativeRolled, NativePolar()), False)):
        compiled = fg.jit(lambda x, ops=ops: spiral(x, *ops))._compiled((X,), {})
        assert bool(compiled.program.hosts) is calls


def test_bind_takes_numbers_and_gives_arrays_of_the_users():
    r, angle = bind(Polar(), 3.0, 4.0)
    assert (type(r), float(r), float(angle)) == (np.float64, 5.0, np.arctan2(4.0, 3.0))
    found = bind(Rolled(0), X)
    found[0] = 7
    assert X[0] == 0.5
    with pytest.raises(ArgumentError, match="takes an instance of a Primitive first"):
        bind(Polar, 1.0, 2.0)
    with pytest.raises(fg.errors.TreeError, match=r"operand 1 of polar is a builtins\.str"):
        bind(Polar(), 1.0, "2")


def test_mistakes_in_lowerings():
    @dataclass(frozen=True)
    class Halved(Primitive):
        def infer(self, x):
            return x

        def evaluate(self, x):
            return x / 2

    @lowering(Halved)
    def halved(op, x):
        return np.sum(x) / 2

    with pytest.raises(ShapeError, match=r"lowering halved gives \[f64\[\]\], but halved infers \[f64\[4\]\]"):
        fg.jit(lambda x: bind(Halved(), x))(X)
    with pytest.raises(ArgumentError, match="takes the class of a primitive, got"):
        lowering(Halved())
    with pytest.raises(ArgumentError, match="Flip is a primitive of fungrad's own"):
        lowering(fg.primitives.shape.Flip)
    with pytest.raises(ArgumentError, match="lowering takes a function"):
        lowering(Halved)(3)


def test_array_type():
    assert array_type(3) is array_type((3,), np.float64) is array_type([3], "float64")
    with pytest.raises(fg.errors.DtypeError):
        array_type((), complex)


def test_operands_of_host_calls_cannot_be_written_to():
    class Writing(Rolled):
        def evaluate(self, x):
            x[0] = 7.0
            return x

    x = np.ones(3)
    with pytest.raises(ValueError, match="read-only"):
        fg.jit(lambda x: bind(Writing(1), 2 * x))(x)
