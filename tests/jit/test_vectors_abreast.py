"""Loops of functions of functions work on several vectors at a time, and compute what others do."""

import re

import numpy as np
import pytest

import fungrad as fg
from fungrad.ir.types import array_type
from fungrad.jit.emit_llvm import emit_module
from fungrad.jit.machine_code import assembly_of
from fungrad.jit.runtime import Compiled
from fungrad.trace import trace

HINT = "llvm.loop.interleave.count"
LONG = 100_000


def chain(x):
    return np.tanh(np.sin(x) * np.exp(-x * x))


def module(function, count):
    graph, _ = trace(lambda x: [function(x)], [array_type((count,), np.dtype(np.float64))], purpose="jit")
    return emit_module(Compiled(graph).program)[0]


@pytest.mark.parametrize("function", [chain, lambda x: np.logaddexp(x, 0.0), lambda x: np.power(x, x)])
def test_chains_are_computed_abreast(function):
    assert HINT in module(function, 1000)
    assert HINT not in module(function, 20)


def test_long_loops_have_more_of_them():
    for count, vectors in ((1000, 2), (5000, 4), (LONG, 4)):
        assert f'{HINT}", i32 {vectors}' in module(chain, count)


@pytest.mark.parametrize("function", [np.exp, lambda x: x * x + 1.0])
def test_llvm_chooses_for_short_formulas(function):
    assert HINT not in module(function, 1000)


def test_loops_around_others_are_left_alone():
    type = array_type((500, 5), np.dtype(np.float64))
    graph, _ = trace(lambda x: [np.max(np.tanh(np.sin(x)), axis=1)], [type], purpose="jit")
    assert HINT not in emit_module(Compiled(graph).program)[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [63, 64, 79, 95, 127, 128, 200])
def test_any_number_of_elements(count, dtype):
    x = np.random.default_rng(count).normal(size=count).astype(dtype)
    np.testing.assert_allclose(fg.jit(chain)(x), chain(x), rtol=16 * np.finfo(dtype).eps)


def test_the_slow_version_runs_where_an_argument_is_large():
    x = np.random.default_rng(0).normal(size=200)
    x[150] = 1e300
    np.testing.assert_allclose(fg.jit(lambda x: np.tanh(np.sin(x)))(x), np.tanh(np.sin(x)), rtol=1e-15)


def test_vectors_on_the_stack_are_aligned():
    """There are more of them than registers."""
    assembly = assembly_of(module(fg.grad(lambda x: np.sum(chain(x))), LONG))
    assert not re.search(r"vmovup[sd]\s+(%ymm\d+, -?\d*\(%rsp\)|-?\d*\(%rsp\), %ymm)", assembly)
