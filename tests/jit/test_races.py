"""Chunks of a shared loop touch no memory of each other, in programs whose loops are all cut into as many as can be."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import fungrad as fg
from fungrad.jit import lower_nest
from fungrad.jit.emit_python import run_source
from fungrad.jit.runtime import Compiled
from fungrad.testing.program_compositions import compositions
from fungrad.testing.program_source import fungrad_names
from fungrad.testing.programs import programs
from tests.support import programs as graphs
from tests.support.programs import same_bits
from tests.support.races import RaceError, run_watched

NO_SHRINKING = [Phase.explicit, Phase.generate]  # it would compile thousands of programs
RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4))


@pytest.fixture(scope="module", autouse=True)
def as_many_chunks_as_can_be():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower_nest.NestLowering, "_work", lambda self, nest: 10**9)
        patch.setattr(lower_nest, "WHOLE_VECTORS", 1)
        yield


def chunks_of(graph, inputs):
    """How many chunks of shared loops a program runs: they may come in any order."""
    program = Compiled(graph).program
    found, chunks = run_watched(program, inputs)
    for x, y in zip(found, run_source(program, inputs), strict=True):
        assert same_bits(x, y)
    return chunks


# -- programs of matrices: rows that are kept, and read again by others


def normal(x, axis):
    e = np.exp(x - np.max(x, axis, keepdims=True))
    return e / np.sum(e, axis, keepdims=True)


def shares(x, axis):
    e = np.exp(x)
    return e / np.sum(e, axis, keepdims=True)


def centred(x, axis):
    return x - np.mean(x, axis, keepdims=True)


def padded(x, axis):
    return np.pad(x, [(2, 0), (0, 0)] if axis else [(0, 0), (1, 3)])


def shorter(x, axis):
    return x[1:] if axis else x[:, 1:]


def neighbours(x, axis):
    return np.diff(x, axis=axis)


def summed(x, axis):
    return np.cumsum(x, axis)


def rolled(x, axis):
    return np.roll(x, 1, axis) * x


def twice(x, axis):
    return np.concatenate([x, np.sin(x)], axis)


def picked(x, axis):
    return np.take(x, [0, x.shape[axis] - 1, 0], axis)


def turned(x, axis):
    return np.cos(x.T)


def largest(x, axis):
    return x * np.max(x, axis, keepdims=True)


def spread(x, axis):
    return x @ x.T if axis else x.T @ x


STEPS = [normal, shares, centred, padded, shorter, neighbours, summed, rolled, twice, picked, turned, largest, spread]


def chain(steps):
    def f(x):
        for step, axis in steps:
            if min(x.shape) > 1:
                x = step(x, axis)
        return x

    return f


def matrix_programs():
    steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 1)), min_size=2, max_size=7)
    return st.tuples(steps, st.booleans(), st.integers(2, 9), st.integers(2, 6))


def check_matrices(drawn):
    steps, gradient, *shape = drawn
    f = chain(steps)

    def total(x):
        return np.sum(np.tanh(f(x)))

    x = RNG.normal(size=shape)
    return chunks_of(fg.make_graph(fg.grad(total) if gradient else f)(x), [x])


@settings(max_examples=200, phases=NO_SHRINKING)
@given(matrix_programs())
def test_programs_of_matrices(drawn):
    check_matrices(drawn)


@pytest.mark.fuzz
@settings(max_examples=3000, phases=NO_SHRINKING, derandomize=False)
@given(matrix_programs())
def test_many_programs_of_matrices(drawn):
    check_matrices(drawn)


# -- the programs of other tests


@settings(max_examples=40, phases=NO_SHRINKING)
@given(graphs.programs())
def test_programs_of_all_primitives(drawn):
    chunks_of(*drawn)


@settings(max_examples=40, phases=NO_SHRINKING, suppress_health_check=list(HealthCheck))
@given(programs(max_operations=12), compositions())
def test_compositions(program, composition):
    arguments = composition.arguments(program)
    f = composition.interpreted().function(program, fungrad_names())
    chunks_of(fg.make_graph(f)(*arguments), arguments)


# -- the watch itself


def test_loops_are_shared():
    assert chunks_of(fg.make_graph(np.sin)(X), [X]) == len(X)


SHARED = "in range(6):  # in any order, on any thread"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("out0[i0, 0] = x[0, 0]", None),
        ("out0[0, 0] = x[i0, 0]", "writes what chunk"),
        ("out0[i0, 0] = out0[i0 - 1, 0]", "writes what chunk"),
        ("out0[i0, 0] = out0[min(i0 + 1, 5), 0]", "reads what chunk"),
        ("out0[0, ...][i0 % 4] = x[i0, 0]", "writes what chunk"),
        ("out0.reshape((24,))[i0 // 2] = 1.0", "writes what chunk"),
        ("np.matmul(x, x[:4], out=out0)", "writes what chunk"),
        ("np.sin(out0[i0 % 2, ...]); out0[i0, 0] = 1.0", "writes what chunk"),
    ],
)
def test_what_is_a_race(body, found, monkeypatch):
    program = Compiled(fg.make_graph(np.sin)(X)).program
    source = f"def sin(x, out0):\n    for i0 {SHARED}\n        {body}\n"
    monkeypatch.setitem(run_source.__globals__, "emit_python", lambda program: source)
    if found is None:
        run_watched(program, [X])
    else:
        with pytest.raises(RaceError, match=found):
            run_watched(program, [X])
