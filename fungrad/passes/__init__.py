"""The passes, in order. Each takes a legal graph and returns one of the same meaning; `verify` runs between them in
tests.
"""

from __future__ import annotations

from collections.abc import Callable

from fungrad.ir.graph import Graph
from fungrad.passes.canonical_dots import canonical_dots
from fungrad.passes.prune import prune
from fungrad.passes.share import share
from fungrad.passes.simplify import simplify

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    prune,  # first, so that the others look only at what is used
    simplify,
    canonical_dots,  # leaves transpositions and reshapes behind that simplify and share clean up
    simplify,
    share,
    prune,
)


def optimize(graph: Graph) -> Graph:
    """Run every pass."""
    for transform in PASSES:
        graph = transform(graph)
    return graph
