"""Gradients of loops: memory and code by the number of steps. The figures are those of `tests.benchmarks.loops`."""

import re

import numpy as np
import pytest

import fungrad as fg
from fungrad.jit.emit_llvm import emit_module
from tests.benchmarks.loops import LOOPS, arena_bytes, checkpointed, compiled_program, eager_bytes, gradient, plain

STEPS = (64, 1024)  # squares, sixteen times as many
KEPT = {"recurrent network": 32, "Runge-Kutta": 4}  # numbers a step: the carry; the cosines of four stages


@pytest.fixture(scope="module", params=LOOPS)
def loop(request):
    return LOOPS[request.param](), 8 * KEPT[request.param]


def programs(loop, scan):
    return [compiled_program(gradient(loop, scan(steps)), loop.argument) for steps in STEPS]


def test_memory_grows_with_the_steps_and_with_their_root_if_checkpointed(loop):
    loop, kept = loop
    few, many = map(arena_bytes, programs(loop, plain))
    assert many - few == pytest.approx(kept * (STEPS[1] - STEPS[0]), abs=128)
    few, many = map(arena_bytes, programs(loop, checkpointed))
    assert many - few <= 2.5 * kept * (STEPS[1] ** 0.5 - STEPS[0] ** 0.5) + 128


@pytest.mark.parametrize("scan", [plain, checkpointed])
def test_code_does_not_depend_on_the_steps(loop, scan):
    """Not in a single instruction: only numbers in it differ."""
    loop, _ = loop
    few, many = [re.sub(r"\d+", "0", emit_module(program)[0]) for program in programs(loop, scan)]
    assert few == many


def test_checkpointing_changes_no_gradient(loop):
    loop, _ = loop
    expected = fg.grad(lambda x: loop.run(x, plain(70)))(loop.argument)
    for derivative in (gradient(loop, checkpointed(70)), fg.jit(gradient(loop, checkpointed(70)))):
        np.testing.assert_allclose(derivative(loop.argument), expected, rtol=1e-10)


def test_memory_of_the_interpreter():
    loop = LOOPS["recurrent network"]()
    steps = (1000, 3000)
    kept = [eager_bytes(gradient(loop, plain(n)), loop.argument) for n in steps]
    assert kept[1] - kept[0] == pytest.approx(8 * 32 * (steps[1] - steps[0]), rel=0.2)
    checkpoints = eager_bytes(gradient(loop, checkpointed(steps[1])), loop.argument)
    assert checkpoints < kept[1] - 8 * 32 * 2000
