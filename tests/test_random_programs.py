"""Random programs: the interpreter, the compiler and JAX agree about them and their transformations.

How to run many more of them, and what to do with what is found, is in docs/fuzzing.md.
"""

import pytest
from hypothesis import Phase, given, settings

from fungrad.testing.program_compositions import Composition, compositions
from fungrad.testing.programs import programs

pytest.importorskip("jax")

from tests.support.agreement import disagreements

NO_SHRINKING = [Phase.explicit, Phase.generate]


def check(program, composition):
    for message in disagreements(program, composition):
        pytest.fail(message)


@settings(max_examples=200, phases=NO_SHRINKING)
@given(programs(max_operations=12), compositions())
def test_small_programs(program, composition):
    check(program, composition)
