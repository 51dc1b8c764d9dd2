"""Temporaries share memory only if they are never needed at the same time."""

from itertools import pairwise

import numpy as np
from hypothesis import Phase, given, settings

import fungrad as fg
from fungrad.ir.graph import Graph
from fungrad.jit.memory_plan import ALIGNMENT, arena_layout
from fungrad.jit.runtime import Compiled
from fungrad.jit.stages import stages
from fungrad.jit.walk import buffers_in
from tests.support.programs import programs


def bytes_of(buffer):
    return buffer.type.size * buffer.type.dtype.itemsize


def check_layout(program):
    """Play the program: what a statement writes to a temporary must not hit one that is read later."""
    offsets, size = arena_layout(program)
    touched = [{b.memory for b in buffers_in(s) if b.memory.role == "temp"} for s in program.body]
    for buffer, start in offsets.items():
        assert start % ALIGNMENT == 0
        assert start + bytes_of(buffer) <= size
    seen, later = set(), [set()]
    for buffers in reversed(touched):
        later.append(later[-1] | buffers)
    for position, buffers in enumerate(touched):
        seen |= buffers
        alive = sorted((offsets[b], bytes_of(b)) for b in seen & later[len(touched) - position] if bytes_of(b))
        for (start, length), (following, _) in pairwise(alive):
            assert start + length <= following, "two temporaries that are needed at once overlap"
    return size


@settings(max_examples=60, phases=[Phase.generate])
@given(programs(max_steps=40))
def test_only_dead_temporaries_are_overwritten(drawn):
    graph, _ = drawn
    last = Graph(graph.inputs, graph.equations, graph.outputs[-2:], graph.name, graph.input_names)
    check_layout(Compiled(last).program)


def network(layers):
    def loss(params, x):
        for w in params:
            x = np.tanh(x @ w)
        return np.sum(x)

    params, x = [np.eye(32) for _ in range(layers)], np.ones((32, 32))
    return fg.jit(fg.grad(loss)), params, x


def test_the_arena_of_a_network_is_far_smaller_than_its_temporaries():
    f, params, x = network(16)
    program = f._compiled((params, x), {}).program
    size = check_layout(program)
    assert size < 0.55 * sum(map(bytes_of, program.temps))
    np.testing.assert_allclose(f(params, x)[0], fg.grad(lambda p: np.sum(forward(p, x)))(params)[0], rtol=1e-12)


def forward(params, x):
    for w in params:
        x = np.tanh(x @ w)
    return x


def test_the_arena_of_a_forward_pass_does_not_grow_with_depth():
    sizes = []
    for layers in (4, 16):
        _, params, x = network(layers)
        program = fg.jit(forward)._compiled((params, x), {}).program
        sizes.append(check_layout(program))
    assert sizes[0] == sizes[1] == 2 * 32 * 32 * 8


def test_the_memory_of_a_stage_does_not_overlap():
    """A stage takes its memory as pointers that LLVM may believe apart; loops are several statements of one stage."""

    def f(a, xs):
        last, ys = fg.lax.scan(lambda c, x: (c * np.cos(x), c), a, xs)
        return last + np.sum(ys**2)

    def along(a, xs):
        return fg.jvp(f, (a, xs), (1.0, xs))[1]

    program = fg.jit(fg.grad(along, (0, 1)))._compiled((0.7, np.ones(3)), {}).program
    offsets, _ = arena_layout(program)
    shared = 0
    for stage in stages(program):
        temps = sorted((offsets[b], b.type.size * b.type.dtype.itemsize) for b in stage.memory if b in offsets)
        shared += len(temps) > 3
        for (start, length), (following, _) in pairwise(temps):
            assert start + length <= following
    assert shared
