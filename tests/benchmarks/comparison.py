"""One problem, every library: what is timed for each, after its values were compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from fungrad import tree
from tests.benchmarks import peers
from tests.benchmarks.peers import Library
from tests.benchmarks.report import Options, progress, ratio, seconds, table
from tests.benchmarks.timing import Run, in_turns

FUNGRAD, PLAIN, BEST, BY_HAND, TORCH = "fungrad", "JAX plain", "JAX best", "NumPy by hand", "PyTorch"
Make = Callable[[Library], Callable[..., Any]]
Runs = Mapping[str, Run]

EXPLANATION = """\
Times are medians, measured in turns in one process, after a warm-up in each turn. JAX "plain" waits for each result;
"best" is the faster of that and of leaving dispatch asynchronous, with donated arguments where a result replaces an
argument. "NumPy by hand" is what one writes without any of the libraries, gradient included. Ratios are the time of
another over ours: above 1 we are faster."""


@cache
def _libraries() -> dict[str, Library]:
    """The libraries that are installed, by the columns they are in."""
    theirs = peers.jax()
    found = {FUNGRAD: peers.ours(), PLAIN: theirs, BEST: theirs}
    return found | ({TORCH: peers.torch()} if peers.has_torch() else {})


def function_runs(make: Make, arguments: Sequence[Any], by_hand: Callable[..., Any] | None = None) -> Runs:
    """A function called again and again with the same arguments."""
    runs: dict[str, Run] = {}
    results = {}
    for column, library in _libraries().items():
        f, given = library.jit(make(library)), library.arrays(arguments)
        results[column] = f(*given)
        runs[column] = _independent(f, given, library.wait, column == PLAIN)
    if by_hand is not None:
        results[BY_HAND] = by_hand(*arguments)
        runs[BY_HAND] = _independent(by_hand, arguments, None, False)
    check(results, arguments)
    return runs


def step_runs(
    make: Make, state: Any, data: Sequence[Any], by_hand: Callable[..., Any] | None = None, calls: int = 1
) -> Runs:
    """A function of a state and data that gives the next state, called in a chain.

    With `calls`, the data are as many rows: a piece of work is a call for each of them.
    """
    runs: dict[str, Run] = {}
    results = {}

    def rows(given: Sequence[Any]) -> Sequence[Sequence[Any]]:
        return [given] if calls == 1 else list(zip(*map(list, given), strict=True))

    for column, library in _libraries().items():
        step = library.jit(make(library), donate=column in (FUNGRAD, BEST))
        given = rows(library.arrays(data))
        results[column] = step(library.arrays(state), *given[0])
        runs[column] = _chain(step, library.arrays(state), given, library.wait, column == PLAIN)
    if by_hand is not None:
        results[BY_HAND] = by_hand(state, *rows(data)[0])
        runs[BY_HAND] = _chain(by_hand, state, rows(data), None, False)
    check(results, (state, data))
    return runs


def _independent(f: Any, arguments: Sequence[Any], wait: Any, each: bool) -> Run:
    def run(count: int) -> None:
        if wait is None:
            for _ in range(count):
                f(*arguments)
        elif each:
            for _ in range(count):
                wait(f(*arguments))
        else:
            wait([f(*arguments) for _ in range(count)])

    return run


def _chain(step: Any, state: Any, rows: Sequence[Sequence[Any]], wait: Any, each: bool) -> Run:
    held = [state]  # goes on where the last run ended, since a state that was donated is gone

    def run(count: int) -> None:
        state = held.pop()
        for _ in range(count):
            for data in rows:
                state = step(state, *data)
                if each:
                    wait(state)
        if wait is not None:
            wait(state)
        held.append(state)

    return run


def check(results: Mapping[str, Any], arguments: Any) -> None:
    """Raise unless all results agree, to the precision of the arguments and relative to the largest number."""
    single = any(np.asarray(x).dtype == np.float32 for x in tree.leaves(arguments))
    expected = [np.asarray(x, np.float64) for x in tree.leaves(results[FUNGRAD])]
    for column, result in results.items():
        for a, b in zip(expected, tree.leaves(result), strict=True):
            scale = float(np.max(np.abs(a), initial=1e-30))
            tolerance = (1e-3 if single else 1e-9) * scale
            np.testing.assert_allclose(np.asarray(b, np.float64), a, rtol=0, atol=tolerance, err_msg=column)


def measured(cases: Mapping[str, Callable[[], Runs]], options: Options) -> dict[str, dict[str, float]]:
    """The seconds of every column for each case that is wanted."""
    found = {}
    for name, make in cases.items():
        if options.wants(name):
            times = in_turns(make(), options.quick)
            times[BEST] = min(times[PLAIN], times[BEST])
            found[name] = times
            progress(f"{name:60}{''.join(f'{column} {seconds(t)}   ' for column, t in times.items())}")
    return found


def comparison(cases: Mapping[str, Callable[[], Runs]], options: Options) -> str:
    """The table of all cases and all libraries."""
    found = measured(cases, options)
    columns = list(dict.fromkeys(column for times in found.values() for column in times))
    others = [c for c in columns if c != FUNGRAD]
    rows = [
        [
            name,
            *(seconds(times[c]) if c in times else "" for c in columns),
            *(ratio(times[c] / times[FUNGRAD]) if c in times else "" for c in others),
        ]
        for name, times in found.items()
    ]
    return table(["case", *columns, *(f"{c} / fungrad" for c in others)], rows)
