"""Random programs: the interpreter, the compiler and JAX agree about them and their transformations.

How to run many more of them is in docs/fuzzing.md.
"""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import fungrad as fg
from fungrad.primitives.elementwise import ROWS
from fungrad.testing.program_compositions import Composition, compositions
from fungrad.testing.program_source import Assign, Define, Program, fungrad_names, pruned
from fungrad.testing.programs import programs

pytest.importorskip("jax")

from tests.support.agreement import disagreements

NO_SHRINKING = [Phase.explicit, Phase.generate]  # it would compile thousands of programs


def check(program, composition):
    for message in disagreements(program, composition):
        pytest.fail(message)


@settings(max_examples=200, phases=NO_SHRINKING)
@given(programs(max_operations=12), compositions())
def test_programs(program, composition):
    check(program, composition if program.operations < 8 else composition.interpreted())  # compilation takes the time


@pytest.mark.fuzz
@settings(
    max_examples=int(os.environ.get("FUNGRAD_PROGRAMS", "10000")),
    phases=NO_SHRINKING,
    derandomize=False,
    suppress_health_check=list(HealthCheck),
)
@given(programs(), compositions())
def test_many_programs(program, composition):
    check(program, composition)


@settings(max_examples=3, phases=NO_SHRINKING)
@given(programs(max_operations=6), compositions(max_order=1))
def test_what_xla_compiles_agrees_as_well(program, composition):
    for message in disagreements(program, composition, compiled=True):
        pytest.fail(message)


# -- the programs and the comparison themselves


def small(text, *arguments):
    """A program of one operation."""
    inputs = {f"v{i}": x for i, x in enumerate(arguments)}
    return Program(inputs, (Assign(("v9",), "v9", text),), ("v9",))


X = np.array([0.3, -0.7, 1.1])
WRONG = {
    "gradient": ("tanh", "np.tanh(v0)", lambda t, out, x: t * (1 - out)),
    "pushed": ("sin", "np.sin(v0)", lambda t, out, x: t * np.cos(x) * (1 + 1e-9)),
    "pulled": ("sqrt", "np.sqrt(v0 * v0 + 1.0)", lambda t, out, x: t / out),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_are_found(name, monkeypatch):
    row, text, partial = WRONG[name]
    composition = Composition((name,), frozenset([1]))
    assert not list(disagreements(small(text, X), composition))
    monkeypatch.setitem(ROWS, row, ROWS[row]._replace(partials=(partial,)))
    (message,) = disagreements(small(text, X), composition)
    assert f"{name}(program) and JAX of" in message
    assert text in message


def test_wrong_compiled_code_is_found(monkeypatch):
    monkeypatch.setattr(fg.jitted.Jitted, "__call__", lambda self, x: (self._f(x)[0] * (1 + 1e-9),))
    (message,) = disagreements(small("np.sin(v0)", X), Composition((), frozenset([0])))
    assert "machine code of jit(program)" in message


@pytest.mark.parametrize(
    "text",
    [
        "np.floor(v0 * 3.0)",  # for a v0 of 1/3 rounding decides
        "np.sin(v0 * 1e15)",  # rounding of v0 is as large as the result
        "np.clip(v0, 1 / 3, 1.0)",  # a kink at which JAX takes 1/2
    ],
)
def test_what_rounding_decides_is_not_reported(text):
    program = small(text, np.array([1 / 3]))
    assert not list(disagreements(program, Composition(("gradient",))))


def test_what_rounding_of_functions_decides_is_not_reported(monkeypatch):
    """The input is clipped, so that changing it tells nothing about the rounding of what follows."""

    def compiled(self, x, last_bit=2.0**-52):
        return (np.cos((np.exp(np.minimum(x, 1.7)) * (1 + last_bit)) ** 8),)

    program = small("np.cos(np.exp(np.minimum(v0, 1.7)) ** 8)", np.array([2.5]))
    monkeypatch.setattr(fg.jitted.Jitted, "__call__", compiled)
    assert not list(disagreements(program, Composition((), frozenset([0]))))
    monkeypatch.setattr(fg.jitted.Jitted, "__call__", lambda self, x: compiled(self, x, 1e-9))
    assert list(disagreements(program, Composition((), frozenset([0]))))


def test_pruning_follows_names():
    body = (
        Assign(("v1",), "v1", "np.sin(v0)"),
        Assign(("v2",), "v2", "np.cos(v0)"),
        Define("f3", ("def f3(v4):",), (Assign(("v5",), "v5", "v1"), Assign(("v6",), "v6", "v4")), "v4 + v1"),
        Assign(("v7",), "v7", "f3(v0)"),
    )
    kept = pruned(body, frozenset(["v7"]))
    assert [s.targets for s in kept] == [("v1",), ("f3",), ("v7",)]
    assert kept[1].body == ()


@settings(max_examples=5)
@given(programs(max_operations=10), compositions())
def test_scripts_run(program, composition):
    printed = []
    with np.errstate(all="ignore"):
        exec(composition.script(program), {"print": printed.append})
        expected = composition.function(program, fungrad_names())(*composition.arguments(program))
    (found,) = printed
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x, y)
