"""Programs of loops and branches nested in each other, drawn at random, in the names of fungrad and of JAX.

A program is a tree: ("scan", body), ("cond", one, other) and so on, with the name of a formula at the leaves. It stands
for a function of a vector and of weights that every level closes over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
from hypothesis import strategies as st

Program = Any  # the name of a leaf, or a tuple of a kind and its bodies
XS = numpy.array([[0.3, -0.2, 0.5], [-0.4, 0.1, 0.2], [0.6, -0.5, 0.1]])

LEAVES = ("turn", "grow", "bend")
KINDS = {"scan": 1, "map": 1, "fori": 1, "fori to a traced bound": 1, "while": 1, "cond": 2, "switch": 3}


def programs(max_leaves: int = 5) -> st.SearchStrategy[Program]:
    """Trees of at most that many leaves, at least one loop or branch deep."""

    def around(bodies: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
        return st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), *[bodies] * KINDS[kind]))

    return around(st.recursive(st.sampled_from(LEAVES), around, max_leaves=max_leaves))


def function(program: Program, np: Any, lax: Any) -> Callable[[Any, Any], Any]:
    """The program as a function of (state, weights), both of 3 elements, with the names of `np` and `lax`."""

    def run(part: Program, s: Any, w: Any) -> Any:
        if part == "turn":
            return np.tanh(w * np.roll(s, 1) + 0.3 * s)
        if part == "grow":
            return 1.2 * s + 0.2 * w
        if part == "bend":
            return np.sin(s) * np.exp(-0.1 * w * w)
        kind, *parts = part
        bodies = [lambda s, body=body: run(body, s, w) for body in parts]
        body = bodies[0]
        total = np.sum(s)
        match kind:
            case "scan":
                last, sums = lax.scan(lambda s, x: (body(s) + x * w, np.sum(s)), s, np.asarray(XS), reverse=True)
                return last + 0.1 * np.cos(np.sum(sums))
            case "map":
                return np.sum(lax.map(lambda x: body(s + x), np.asarray(XS)), axis=0) / 3
            case "fori":
                return lax.fori_loop(1, 3, lambda i, s: body(s) * (1 + 0.1 * i), s)
            case "fori to a traced bound":
                bound = np.floor(4 * np.abs(np.sin(5 * total))).astype("int64")
                return lax.fori_loop(0, bound, lambda i, s: body(s) - 0.05 * i, s)
            case "while":

                def goes_on(state: Any) -> Any:
                    s, count = state
                    return np.logical_and(np.sum(s * s) < 3.0, count < 4)

                return lax.while_loop(goes_on, lambda state: (body(state[0]) + 0.2, state[1] + 1), (s, 0))[0]
            case "cond":
                return lax.cond(np.sin(7 * total) > 0, *bodies, s)
        return lax.switch(np.floor(3 * np.abs(np.sin(3 * total))).astype("int64"), bodies, s)

    return lambda s, w: run(program, s, w)
