"""Which values of a graph are computed where they are read, rather than once.

    a = mul x 2.0 ; b = sin a ; c = sum[axes=(1,)] b ; d = sub x 1.0 ; e = exp d ; f = mul d e

Here `a` is inlined into `b` and `b` into `c`, since each is read once; and `d` into both of its readers, since
computing it again is cheaper than keeping it. Movements of elements cost nothing and are always inlined. What a reader
needs in memory, what is a result of the program, and what is expensive and read more than once is not.
"""

from __future__ import annotations

from fungrad.ir.graph import Equation, Graph, Var
from fungrad.jit.checked_index import Pick, Put
from fungrad.jit.lower_table import MOVEMENTS, is_pointwise, is_view, operands_in_memory
from fungrad.primitives.cost import cost_of
from fungrad.primitives.index import Scatter, ScatterAdd
from fungrad.primitives.shape import Concatenate, Pad, Reshape

CHEAP = 4  # additions and loads that are rather repeated than kept
MAX_DEPTH = 24  # of inlined values inside each other: bounds recursion
MAX_COST = 200  # of a value with what is inlined into it: bounds the length of a loop, which may take several

_OWN = {Pick: 6, Put: 2}  # additions that it takes to read at a computed position, and to choose


class Inlining:
    """The decision for each value of a graph.

    Attributes:
        inlined: the equations of values that are computed where they are read.
        in_memory: values whose readers need the whole array in memory.
        cost: what an element of a pointwise value costs, what is inlined into it included.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.inlined: dict[Var, Equation] = {}
        self.in_memory: set[Var] = set()
        self.cost: dict[Var, int] = {}
        self._depth: dict[Var, int] = {}
        results = {x for x in graph.outputs if isinstance(x, Var)}
        fan = self._fan(results)
        for eqn in graph.equations:
            if is_view(eqn):
                self.inlined[eqn.output] = eqn
                self.cost[eqn.output] = self._depth[eqn.output] = 1
            elif is_pointwise(eqn):
                self._decide(eqn, eqn.output in results, fan.get(eqn.output, 0.0))

    def _fan(self, results: set[Var]) -> dict[Var, float]:
        """How often an element of each value is read, movements seen through."""
        fan: dict[Var, float] = {}
        for eqn in reversed(self.graph.equations):
            self.in_memory.update(operands_in_memory(eqn, self.in_memory))
            for x in {x for x in eqn.inputs if isinstance(x, Var)}:
                size = max(x.type.size, 1)
                if type(eqn.op) in MOVEMENTS or is_view(eqn):
                    out = eqn.output
                    elements = size if isinstance(eqn.op, Pad) and x is eqn.inputs[0] else out.type.size
                    reads = (fan.get(out, 0.0) + (out in results)) * elements / size
                elif isinstance(eqn.op, Pick | Put):
                    reads = eqn.output.type.size / size
                elif isinstance(eqn.op, Scatter | ScatterAdd) and x in eqn.inputs[2:]:  # an index of rows
                    reads = eqn.inputs[1].type.size / size
                elif isinstance(eqn.op, Concatenate):
                    reads = float(eqn.inputs.count(x))
                else:
                    reads = 1.0
                fan[x] = fan.get(x, 0.0) + reads
        return fan

    def _decide(self, eqn: Equation, is_result: bool, fan: float) -> None:
        out = eqn.output
        cost, depth = _OWN.get(type(eqn.op), cost_of(eqn)), 1
        for x in {x for x in eqn.inputs if isinstance(x, Var)}:
            if x in self.inlined:
                cost += self.cost[x]
                depth = max(depth, 1 + self._depth[x])
            elif x.type.size == out.type.size:
                cost += 1  # a load
        self.cost[out], self._depth[out] = cost, depth
        if (
            is_result
            or (out in self.in_memory and not isinstance(eqn.op, Reshape))
            or depth > MAX_DEPTH
            or cost > MAX_COST
        ):
            return
        if isinstance(eqn.op, Reshape) or fan <= 1 or cost <= CHEAP:
            self.inlined[out] = eqn
