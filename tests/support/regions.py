"""Examples of the primitives that contain graphs or functions, smooth where they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fungrad.ir.graph import Graph
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import array_type
from fungrad.jit.call import Call
from fungrad.regions.adjoint import Adjoint
from fungrad.regions.each import Each
from fungrad.regions.inline import CustomJvp, CustomVjp, Remat
from fungrad.regions.scan import Scan
from fungrad.regions.switch import Switch
from fungrad.regions.while_loop import While
from fungrad.trace import trace

I64 = np.int64


class RegionExample(NamedTuple):
    """A primitive and how its operands are drawn; floats lie between -1 and 1."""

    op: Primitive
    operands: tuple[Any, ...]  # for each its shape if it is a float, or (dtype, low, high) of a 0-d integer

    def drawn(self, rng: np.random.Generator, dtype: Any) -> list[Any]:
        return [_operand(rng, kind, dtype) for kind in self.operands]


def _is_integer(kind: Any) -> bool:
    return bool(kind) and isinstance(kind[0], type)


def _operand(rng: np.random.Generator, kind: Any, dtype: Any) -> Any:
    if _is_integer(kind):
        return kind[0](rng.integers(kind[1], kind[2], endpoint=True))
    return np.asarray(rng.uniform(-1, 1, kind)).astype(dtype)[()]


def _graph(f: Callable[..., Any], *kinds: Any, dtype: Any) -> Graph:
    types = [array_type((), np.dtype(k[0])) if _is_integer(k) else array_type(k, np.dtype(dtype)) for k in kinds]
    found, _ = trace(lambda *xs: list(f(*xs)), types, purpose="an example")
    return found


COUNT = (I64, 0, 4)


def _scans(dtype: Any) -> list[RegionExample]:
    def body(a: Any, n: Any, x: Any, row: Any) -> Any:
        moved = np.sin(a * x) + row
        return n + 1, moved, moved * x

    step = _graph(body, (2,), COUNT, (2,), (2,), dtype=dtype)
    plain = _graph(lambda x, y: (x * y, y), (2,), (2,), dtype=dtype)
    return [
        RegionExample(Scan(step, 3, 1, 2), ((2,), COUNT, (2,), (3, 2))),
        RegionExample(Scan(step, 2, 1, 2, True, (1,)), ((2,), COUNT, (2,), (2, 2))),
        RegionExample(Scan(plain, 3, 0, 2), ((2,), (2,))),
        RegionExample(Scan(step, 0, 1, 2), ((2,), COUNT, (2,), (0, 2))),
    ]


def _while(dtype: Any) -> While:
    condition = _graph(lambda limit, n, x: [n < limit], COUNT, COUNT, (2,), dtype=dtype)
    body = _graph(lambda a, n, x: (n + 1, np.sin(a * x) + x), (2,), COUNT, (2,), dtype=dtype)
    return While(condition, body, 1, 1)


def _whiles(dtype: Any) -> list[RegionExample]:
    return [RegionExample(_while(dtype), (COUNT, (2,), (I64, 0, 2), (2,)))]


def _adjoints(dtype: Any) -> list[RegionExample]:
    region = _while(dtype)
    operands = (COUNT, (2,), (I64, 0, 2), (2,), (2,))
    return [
        RegionExample(Adjoint(region, (False, True), (False, True, False, True)), operands),
        RegionExample(Adjoint(region, (False, True), (False, False, False, True)), operands),
    ]


def _switches(dtype: Any) -> list[RegionExample]:
    kinds = ((2,), ())
    branches = [
        _graph(lambda x, y: (np.exp(x) * y, y), *kinds, dtype=dtype),
        _graph(lambda x, y: (x * x, np.sum(x)), *kinds, dtype=dtype),
        _graph(lambda x, y: (np.zeros_like(x), np.sin(y)), *kinds, dtype=dtype),
    ]
    return [RegionExample(Switch(tuple(branches)), ((I64, 0, 2), *kinds))]


def _several(x: Any, y: Any) -> Any:
    return np.sin(x) * y, np.sum(x * x) + y


def _remats(dtype: Any) -> list[RegionExample]:
    return [RegionExample(Remat(_graph(_several, (2,), (), dtype=dtype)), ((2,), ()))]


def _calls(dtype: Any) -> list[RegionExample]:
    return [RegionExample(Call(_graph(_several, (2,), (), dtype=dtype)), ((2,), ()))]


def _eachs(dtype: Any) -> list[RegionExample]:
    row = _graph(_several, (2,), (), dtype=dtype)
    return [RegionExample(Each(row, 3), ((3, 2), (3,))), RegionExample(Each(row, 0), ((0, 2), (0,)))]


def _flat(x: Any, y: Any) -> list[Any]:
    return [np.sin(x) * y, y * y]


def _flat_jvp(x: Any, y: Any, dx: Any, dy: Any) -> list[Any]:
    return [np.cos(x) * y * dx + np.sin(x) * dy, 2 * y * dy]


def _forward(x: Any, y: Any) -> list[Any]:
    return [*_flat(x, y), np.sin(x), np.cos(x) * y, 2 * y]


def _backward(residuals: Any, cts: Any) -> list[Any]:
    sine, slope, twice = residuals
    return [cts[0] * slope, cts[0] * sine + cts[1] * twice]


def _custom_jvps(dtype: Any) -> list[RegionExample]:
    return [RegionExample(CustomJvp(_flat, _flat_jvp), ((2,), (2,)))]


def _custom_vjps(dtype: Any) -> list[RegionExample]:
    return [RegionExample(CustomVjp(_flat, _forward, _backward), ((2,), (2,)))]


REGIONS: dict[str, Callable[[Any], list[RegionExample]]] = {
    "Scan": _scans,
    "While": _whiles,
    "Adjoint": _adjoints,
    "Switch": _switches,
    "Remat": _remats,
    "CustomJvp": _custom_jvps,
    "CustomVjp": _custom_vjps,
    "Call": _calls,
    "Each": _eachs,
}
"""From a name and a float dtype to examples."""
