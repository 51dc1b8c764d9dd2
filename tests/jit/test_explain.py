"""What `explain` reports, against the program itself and what the machine does."""

import re

import numpy as np
import pytest
from hypothesis import Phase, given, settings

import fungrad as fg
from fungrad import lax
from fungrad.explain import explain
from fungrad.ir.graph import Graph
from fungrad.jit.loops import Let, Note
from fungrad.jit.lower import lower
from fungrad.jit.memory_plan import lifetimes
from fungrad.jit.runtime import Compiled
from fungrad.jit.walk import inner_statements
from tests.support.programs import programs

RNG = np.random.default_rng(0)
W, X = RNG.normal(size=(2, 3)), RNG.normal(size=(4, 2))


def everything(w, x):
    h = np.tanh(x @ w)
    z = h - np.max(h, axis=1, keepdims=True)
    order = np.argsort(h[0])
    return np.sum(np.log(np.sum(np.exp(z), axis=1))) + np.sum(h[:, 1:] - h[:, :-1]) + np.sum(order)


def step(carry, row):
    carry = np.tanh(carry @ np.eye(3) + row)
    return carry, np.sum(carry)


def control_flow(x):
    carry, sums = lax.scan(step, x, np.ones((5, 3)))
    y = lax.cond(sums[0] > 0, np.sort, np.cumsum, carry)
    twice = fg.checkpoint(lambda v: np.exp(v) * v)(y)
    doubled = lax.while_loop(lambda v: v[0] < 10, lambda v: v * 2 + 1, np.abs(x))
    return np.sum(twice) + np.sum(doubled)


def masked(text):
    """The report without times and numbers of lines."""
    text = re.sub(r"(test_explain\.py):\d+", r"\1", text)
    text = re.sub(r"in \d+\.\d ms$", "in ... ms", text, flags=re.MULTILINE)
    return re.sub(r"^  tracing .*$", lambda line: re.sub(r"\d+\.\d", "...", line[0]), text, flags=re.MULTILINE)


def test_report(golden, monkeypatch):
    monkeypatch.setenv("FUNGRAD_CACHE", "0")
    report = fg.jit(fg.value_and_grad(everything)).explain(W, X)
    golden("explain", masked(str(report)))
    assert repr(report) == str(report)


def test_report_of_loops_and_branches(golden):
    stages = str(fg.jit(fg.grad(control_flow)).explain(np.ones(3))).partition("stages")[2]
    golden("explain_regions", "stages" + stages.partition("\n\n")[0])


def notes(graph):
    """The stages of the program: those that the memory plan numbers."""
    return [s for s in lower(graph).body if isinstance(s, Note)]


@pytest.mark.parametrize("f", [lambda x: control_flow(x), fg.grad(control_flow)])
def test_stages_are_numbered_as_in_the_memory_plan(f):
    report = fg.jit(f).explain(np.ones(3))
    numbers = [part.number for stage in report.stages for part in stage.walk() if part.number]
    assert numbers == list(range(1, len(notes(report.graph)) + 1))


@settings(max_examples=12, phases=[Phase.explicit, Phase.generate])
@given(programs())
def test_reports_of_random_programs_agree_with_the_program(drawn):
    graph, _ = drawn
    program = lower(Compiled(graph).graph)
    report = explain(graph)
    assert [part.number for part in report.stages] == list(range(1, len(notes(report.graph)) + 1))
    for part in report.stages:
        assert part.reason or (not part.items and not part.what.startswith("for")), part
    reasons = [note.reason for note in notes(report.graph)]
    assert [p.reason for p, r in zip(report.stages, reasons, strict=True) if r] == [r for r in reasons if r]
    assert len(report.host_calls) == len(program.hosts)
    assert [call.name for call in report.host_calls] == [host.op.name for host in program.hosts]
    temporaries = [m for m in report.memory if m.role == "temp"]
    assert {m.name: m.stages for m in temporaries} == {b.name: s for b, s in lifetimes(program).items()}
    for i, m in enumerate(temporaries):
        assert m.offset + m.bytes <= report.arena_bytes
        for other in temporaries[:i]:
            if m.offset < other.offset + other.bytes and other.offset < m.offset + m.bytes:
                assert other.stages[1] < m.stages[0] or m.stages[1] < other.stages[0]
    for again in report.recomputed:
        assert again.cost <= 4
        assert again.times > 1


def lets(statements):
    for statement in statements:
        if isinstance(statement, Let):
            yield statement.local.name
        yield from lets(inner_statements(statement))


def test_a_cheap_value_is_computed_again_and_counted():
    f = fg.jit(lambda x: (x * 2 + 1) / np.sum(x * 2 + 1))
    report = f.explain(np.ones(50))
    assert [(again.times, again.cost) for again in report.recomputed] == [(2.0, 2), (2.0, 3)]
    program = f._compiled((np.ones(50),), {}).program
    for again in report.recomputed:
        assert list(lets(program.body)).count(again.name) == 2


def test_a_value_of_a_row_is_counted_for_each_column():
    (again,) = fg.jit(lambda v, m: m * (v + 1.5)[:, None]).explain(np.ones(6), np.ones((6, 10))).recomputed
    assert again.times == 10


def test_an_expensive_value_is_kept():
    report = fg.jit(lambda x: np.exp(x) / np.sum(np.exp(x))).explain(np.ones(50))
    assert not report.recomputed
    assert [m.bytes for m in report.memory if m.role == "temp"] == [400, 8]


def test_a_shifted_value_is_computed_for_both_of_its_places():
    (again,) = fg.jit(lambda x: (lambda y: y[1:] - y[:-1])(x * 2)).explain(np.ones(11)).recomputed
    assert again.times == pytest.approx(20 / 11)


def reasons(report):
    return [part.reason for stage in report.stages for part in stage.walk()]


def test_reasons_for_what_shares_no_loops():
    i = np.array([1, 0])

    def f(x, i):
        return x @ x, x[i], np.cumsum(x, 0), np.argsort(x, 0), np.argmax(x, 0), np.concatenate([x, x])

    found = reasons(fg.jit(f).explain(np.ones((2, 2)), i))
    assert "a matrix product takes and gives whole matrices" in found
    assert "indices are checked before anything reads at them" in found
    assert "each element waits for the one before" in found
    assert "a call to NumPy: there are no loops for argsort" in found
    assert "it writes its result in an order of its own" in found


def test_host_calls_say_why():
    calls = fg.jit(lambda i: i ** np.arange(3)).explain(np.arange(3)).host_calls
    assert [(call.name, call.reason) for call in calls] == [
        ("pow", "of integers, NumPy raises for negative exponents and warns about 1 / 0")
    ]
    assert calls[0].where.startswith("test_explain.py:")


@pytest.mark.parametrize(
    ("shapes", "how"),
    [
        (((3, 4), (4, 5)), "generated code"),
        (((300, 300), (300, 300)), "generated code in 16 pieces"),
        (((2, 3, 4), (2, 4, 5)), "generated code in 2 pieces"),
        (((2, 2000), (2000, 3)), "generated code"),
    ],
)
def test_products_say_how(shapes, how):
    f = fg.jit(lambda a, b: a @ b)
    arrays = tuple(map(np.ones, shapes))
    (product,) = f.explain(*arrays).products
    assert (product.batch, product.k, product.n) == (shapes[1][-3] if len(shapes[1]) == 3 else 1, *shapes[1][-2:])
    assert product.how == how


def test_passes_that_change_nothing_are_not_listed():
    assert fg.jit(lambda x: np.sin(x)).explain(1.0).changes == ()
    (change,) = fg.jit(lambda x: np.sin(x) * np.sin(x)).explain(1.0).changes
    assert (change.name, change.before, change.after, dict(change.operations)) == ("share", 3, 2, {"sin": -1})
    assert change.purpose == "Compute equal things once."
    assert "prune" in [c.name for c in fg.jit(lambda x: (np.cos(x), x + 1)[1]).explain(1.0).changes]


def test_phases_and_the_cache():
    constant = RNG.normal()  # a program that was not compiled before

    def compile_it():
        return fg.jit(lambda x: x * constant).explain(np.ones(3))

    first, second = compile_it(), compile_it()
    assert not first.cached
    assert list(first.phases) == [
        *("tracing", "passes", "lowering", "cache look-up"),
        *("writing LLVM", "LLVM", "linking"),
    ]
    assert all(seconds > 0 for seconds in first.phases.values())
    assert second.cached
    assert list(second.phases) == ["tracing", "passes", "lowering", "cache look-up", "linking"]
    assert "found in the disk cache in" in str(second)


def test_explaining_compiles_once():
    f = fg.jit(lambda x: x + 1)
    before = f.explain(1.0)
    assert f(1.0) == 2.0
    assert f.explain(2.0) == before
    assert isinstance(before.graph, Graph)
    assert before.source == f.source(1.0)


def test_nothing_computed():
    report = fg.jit(lambda x: 1.0).explain(np.ones(3))
    assert report.stages == ()
    assert report.arena_bytes == 0
    assert "stages" not in str(report)
