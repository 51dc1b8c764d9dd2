"""Every primitive under nested `vmap`s and under `vmap` with gradients, against a Python loop over the examples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fungrad as fg
from fungrad.ir.types import type_of
from fungrad.testing.batch_rules import choices, compare_batches, loop, mixed, of_example, operands_of_examples
from fungrad.testing.strategies import rngs
from fungrad.testing.values import differentiable, random_like
from fungrad.trace import bind
from tests.support.examples import EXAMPLES, vary

each = pytest.mark.parametrize("name", EXAMPLES)
each_float = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])


@st.composite
def mapped_applications(draw, name, dtype, sizes=(3, 1, 0)):
    """An application for several examples, and the axes that hold them: (op, batches, batched, in_axes, out_axis)."""
    op, inputs = draw(EXAMPLES[name](dtype))
    size = draw(st.sampled_from(sizes))
    batched = draw(st.sampled_from(list(choices(len(inputs)))))
    given_operands = mixed(operands_of_examples(inputs, size, draw(rngs()), vary(op)), inputs, batched)
    ndim = op.infer(*map(type_of, inputs)).ndim
    in_axes = tuple(
        draw(st.integers(-x.ndim, x.ndim - 1)) if has else None for x, has in zip(given_operands, batched, strict=True)
    )
    return op, inputs, size, given_operands, batched, in_axes, draw(st.integers(-ndim - 1, ndim))


def moved(operands, in_axes):
    return [x if axis is None else np.moveaxis(x, 0, axis) for x, axis in zip(operands, in_axes, strict=True)]


@each
@each_float
def test_vmap_of_vmap(name, dtype):
    """A batch of batches: the inner axis last, the outer one first."""

    @settings(max_examples=4)
    @given(EXAMPLES[name](dtype), rngs())
    def check(application, rng):
        op, inputs = application
        rows = [operands_of_examples(inputs, 2, rng, vary(op)) for _ in range(3)]
        batches = [np.stack(xs) for xs in zip(*rows, strict=True)]
        found = fg.vmap(fg.vmap(lambda *xs: bind(op, *xs), -1, -1))(*(np.moveaxis(x, 1, -1) for x in batches))
        type = op.infer(*map(type_of, inputs))
        every = [True] * len(inputs)
        expected = np.stack([np.moveaxis(loop(op, row, every, 2, type), 0, -1) for row in rows])
        compare_batches("vmap of vmap", found, expected, "the result")

    check()


@each
@each_float
def test_gradients(name, dtype):
    """`vmap` of the pullback, and the pullback of `vmap`, against a loop of pullbacks."""

    @settings(max_examples=6)
    @given(mapped_applications(name, dtype), rngs())
    def check(drawn, rng):
        op, inputs, size, operands, batched, in_axes, _ = drawn
        type = op.infer(*map(type_of, inputs))
        floats = [i for i, x in enumerate(inputs) if differentiable(x)]
        if not type.is_float or not floats:
            return
        cts = random_like(np.empty((size, *type.shape), type.dtype), rng)

        def pulled(ct, *xs):
            def f(*chosen):
                full = list(xs)
                for i, x in zip(floats, chosen, strict=True):
                    full[i] = x
                return bind(op, *full)

            return fg.vjp(f, *(xs[i] for i in floats))[1](ct)

        rows = [pulled(cts[i][()], *of_example(operands, batched, i)) for i in range(size)]
        expected = [
            np.array([row[k] for row in rows], inputs[i].dtype).reshape((size, *inputs[i].shape))
            for k, i in enumerate(floats)
        ]
        arguments = moved(operands, in_axes)
        for i, c, e in zip(floats, fg.vmap(pulled, (0, *in_axes))(cts, *arguments), expected, strict=True):
            compare_batches("vmap of vjp", c, e, f"cotangent {i}")

        def many(*chosen):
            full = list(arguments)
            for i, x in zip(floats, chosen, strict=True):
                full[i] = x
            return fg.vmap(lambda *xs: bind(op, *xs), in_axes)(*full)

        together = fg.vjp(many, *(arguments[i] for i in floats))[1](cts)
        for i, c, e in zip(floats, together, expected, strict=True):
            if batched[i]:
                compare_batches("vjp of vmap", np.moveaxis(c, in_axes[i], 0), e, f"cotangent {i}")
            else:  # shared: the cotangents of all examples together
                total = np.asarray(e.sum(axis=0, dtype=e.dtype))
                compare_batches("vjp of vmap", np.asarray(c), total, f"cotangent {i}")

    check()
