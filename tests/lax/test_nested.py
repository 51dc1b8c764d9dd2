"""Loops and branches in each other, to any depth, against JAX: forward mode there, since it refuses the reverse."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings

import fungrad as fg
from fungrad import lax
from tests.support.jax_oracle import check_equal, jax  # noqa: F401
from tests.support.nested_loops import function, programs

STATES = np.array([[0.2, 0.4, -0.3], [-0.7, 0.1, 0.5], [0.9, -0.2, 0.3]])
WEIGHTS = np.array([0.8, -0.6, 0.5])
DIRECTION = np.array([0.3, 1.0, -0.7])


def check_program(program, jax, compiled):  # noqa: F811
    """Values and derivatives of first and second order, of one state and of several; compiled only the gradient, or
    everything."""

    def scalar(f, np):
        return lambda s, w: np.sum(np.cos(f(s, w)))

    theirs = scalar(function(program, jax.numpy, jax.lax), jax.numpy)
    ours = scalar(function(program, np, lax), np)

    @jax.jit
    def oracle(states, w):
        s = states[0]
        gradient = jax.jacfwd(theirs, (0, 1))
        return (
            jax.jvp(lambda s: theirs(s, w), (s,), (DIRECTION,)),
            gradient(s, w),
            jax.jvp(lambda s: gradient(s, w), (s,), (DIRECTION,))[1],
            jax.vmap(gradient, (0, None))(states, w),
        )

    pushed, gradient, second, batch = oracle(STATES, WEIGHTS)
    s = STATES[0]
    grad = fg.grad(ours, (0, 1))
    many = fg.vmap(grad, (0, None))

    def along(s, w):
        return fg.jvp(lambda s: ours(s, w), (s,), (DIRECTION,))

    def summed(states, w):
        return np.sum(fg.vmap(ours, (0, None))(states, w))

    cases = [
        (along, s, pushed),
        (many, STATES, batch),
        (lambda s, w: fg.jvp(lambda s: grad(s, w), (s,), (DIRECTION,))[1], s, second),
        (fg.grad(lambda s, w: along(s, w)[1], (0, 1)), s, second),
        (fg.grad(summed, (0, 1)), STATES, (batch[0], np.sum(batch[1], axis=0))),
    ]
    for derivative, argument, expected in [(grad, s, gradient), *cases]:
        check_equal(derivative(argument, WEIGHTS), expected, 1e-8)
    for derivative, argument, expected in [(grad, s, gradient), *(cases if compiled else [])]:
        check_equal(fg.jit(derivative)(argument, WEIGHTS), expected, 1e-8)
    if compiled:
        check_equal(fg.grad(fg.jit(ours), (0, 1))(s, WEIGHTS), gradient, 1e-8)


NESTS = {
    "cond in scan in while": ("while", ("scan", ("cond", "turn", "bend"))),
    "traced fori in traced fori": ("fori to a traced bound", ("fori to a traced bound", "turn")),
    "while in cond in scan": ("scan", ("cond", ("while", "bend"), "turn")),
    "scan and map in switch in while": ("while", ("switch", ("scan", "turn"), ("map", "bend"), "grow")),
}


@pytest.mark.parametrize("name", NESTS)
def test_nested(name, jax):  # noqa: F811
    check_program(NESTS[name], jax, compiled=False)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", NESTS)
def test_nested_and_compiled(name, jax):  # noqa: F811
    check_program(NESTS[name], jax, compiled=True)


@pytest.mark.fuzz
def test_random_nests(jax):  # noqa: F811
    @settings(max_examples=200, deadline=None, phases=[Phase.generate])
    @given(programs())
    def check(program):
        check_program(program, jax, compiled=True)

    check()
