"""Pieces of rounds: what their bounds say, and how many of them there are."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import fungrad as fg
from fungrad.jit.loops import Apply, Index, Literal, Loop, add, literal, piece, piece_bounds


def value(expr, number):
    """An index expression where the piece has that number."""
    match expr:
        case Literal(x):
            return int(x)
        case Index():
            return number
        case Apply(op, args):
            return {"add": np.add, "mul": np.multiply, "minimum": min}[op](*(value(x, number) for x in args))


@given(st.integers(0, 50), st.integers(2, 40), st.integers(1, 300))
def test_lengths_are_those_between_the_bounds(start, length, count):
    rounds = range(start, start + count)
    assume(len(rounds) > length)
    first, stop = piece_bounds(Index("i"), length, rounds)
    found = piece(first, stop)
    pieces = -(-count // length)
    lengths = [value(stop, i) - value(first, i) for i in range(pieces)]
    assert lengths == [found.length] * (pieces - 1) + [found.last]
    assert value(first, 0) == start
    assert value(stop, pieces - 1) == rounds.stop
    if found.last != found.length:
        assert found.stop == rounds.stop


def test_other_bounds_are_of_no_piece():
    i, j = Index("i"), Index("j")
    assert piece(literal(0), literal(10)) is None
    assert piece(i, add(i, literal(8))) is None
    assert piece(*piece_bounds(i, 8, range(20))[:1], piece_bounds(j, 8, range(20))[1]) is None


def outer(f, x):
    """The loop whose rounds threads share."""
    (loop,) = [s for s in fg.jit(f)._compiled((x,), {}).program.body if isinstance(s, Loop) and s.work]
    return loop


def test_long_rows_that_are_summed_up_are_cut_into_many_pieces():
    x = np.ones((1024, 500))
    assert outer(lambda x: np.sum(np.log(np.sum(np.exp(x), axis=1))), x).stop.value == 32


def test_sums_into_rows_keep_long_blocks():
    x = np.ones((1024, 500))
    assert outer(lambda x: np.sum(x - np.max(x, axis=1, keepdims=True), axis=0), x).stop.value == 4
