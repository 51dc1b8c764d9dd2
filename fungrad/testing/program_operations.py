"""The operations of random programs: texts, to be filled with the names of operands.

They are written so that a program has a derivative almost everywhere and rounding does not decide what it computes:
poles are kept away by a constant, and what is compared, clipped or rounded to integers is shifted by a number without
meaning, so that it is not at the jump. What they say is the same to NumPy and to JAX: integers, which the two promote
differently, are converted before they meet floats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

UNARY = (
    "np.sin({0})", "np.cos({0})", "np.tanh({0})", "np.exp(-np.abs({0} - 0.0173))", "np.exp(np.minimum({0}, 1.7))",
    "np.expm1(0.4 * np.sin({0}))", "np.exp2(np.cos({0}))", "np.log(np.abs({0} - 0.0173) + 0.53)", "np.log1p({0} * {0})",
    "np.log2({0} * {0} + 0.31)", "np.log10(np.abs({0} - 0.0173) + 0.71)", "np.sqrt({0} * {0} + 0.37)",
    "np.cbrt(np.abs({0} - 0.0173) + 0.23)", "np.square({0})", "-{0}", "np.abs({0} - 0.0173)",
    "np.reciprocal(np.abs({0} - 0.0173) + 0.61)",
    "np.arctan({0})", "np.arcsin(0.87 * np.sin({0}))", "np.arccos(0.87 * np.cos({0}))", "np.arcsinh({0})",
    "np.arccosh(np.abs({0} - 0.0173) + 1.43)", "np.arctanh(0.83 * np.tanh({0}))", "np.sinh(np.sin({0}))",
    "np.cosh(np.cos({0}))", "np.tan(0.71 * np.sin({0}))", "np.maximum({0}, 0.37)", "np.minimum({0}, -0.29)",
    "np.clip({0}, -0.83, 0.91) * 1.07", "np.where({0} > 0.47, {0}, 0.31 * {0})",
    "np.where({0} > 0.13, {0}, np.sin({0}))", "np.sinc(0.31 + np.abs({0} - 0.0173))",
    "np.floor({0} * 1.37 + 0.19) * 0.43",
    "np.rint({0} * 2.11 + 0.17) * 0.29", "np.sign({0} - 0.27)", "{0} + 0.73", "{0} * -1.19", "1.27 - {0}",
    "{0} / 1.61", "0.87 / ({0} * {0} + 0.67)", "{0} ** 2", "{0} ** 3", "(np.abs({0} - 0.0173) + 0.41) ** 1.3",
    "stop_gradient({0}) * {0}", "np.remainder({0} + 0.21, 0.77)", "np.fmod({0} + 0.21, 0.77)", "np.nan_to_num({0})",
    "np.deg2rad({0} * 30.0)", "np.square({0} - np.mean({0}))", "{0} / (np.max(np.abs({0} - 0.0173)) + 0.33)",
)  # fmt: skip
"""Of one float."""

BINARY = (
    *["{0} + {1}", "{0} - {1}", "{0} * {1}"] * 3,
    "{0} / (np.abs({1} - 0.0173) + 0.57)", "{0} / ({1} * {1} + 0.43)", "np.maximum({0}, {1} - 0.23)",
    "np.minimum({0}, {1} + 0.19)", "np.fmax({0}, {1} + 0.29)", "np.where({0} < {1} + 0.37, {0}, np.cos({1}))",
    "np.arctan2({0}, np.abs({1} - 0.0173) + 0.47)", "np.hypot({0}, np.abs({1} - 0.0173) + 0.39)",
    "np.logaddexp({0}, {1})",
    "np.copysign({0} + 0.0119, {1} - 0.41)", "(np.abs({0} - 0.0173) + 0.59) ** np.sin({1} + 0.0213)",
    "np.power(np.abs({0} - 0.0173) + 0.45, np.tanh({1} - 0.0137))", "np.fmod({0} + 0.33, np.abs({1} - 0.0173) + 0.93)",
    "np.remainder({0} + 0.33, np.abs({1} - 0.0173) + 0.93)", "{0} * np.sin({1})",
    "np.clip({0}, np.minimum({1} - 0.07, 0.11), 1.31) * 1.09", "np.stack([{0} * {1}, {0} - {1}]).sum(axis=0)",
    "{0} * stop_gradient({1})", "np.logaddexp2({0}, {1})", "np.fmin({0}, {1} - 0.31)",
)  # fmt: skip
"""Of two floats that broadcast together."""

INTEGER = (
    "{0} + 3", "{0} * 2 - 1", "{0} % 5", "{0} // 2", "-{0}", "np.abs({0})", "{0} & 6", "{0} | 1", "{0} ^ 5", "~{0}",
    "({0} % 4) << 1", "{0} >> 1", "np.minimum({0}, 2)", "np.where({0} > 1, {0}, 7)", "np.sign({0})",
    "np.square({0} % 9)",
)  # fmt: skip
"""Of one integer."""

INTEGERS = (
    "{0} + {1}", "{0} - {1}", "{0} % 11 * ({1} % 7)", "np.maximum({0}, {1})", "np.where({0} < {1}, {0}, {1})",
    "{0} ^ {1}", "{0} // (np.abs({1} % 16) + 1)", "{0} % (np.abs({1} % 16) + 1)",
)  # fmt: skip
"""Of two integers that broadcast together."""

TO_BOOLEAN = {
    "f": ("{0} > 0.37", "np.less({0}, -0.21)", "np.abs({0}) <= 0.81", "np.isfinite({0})", "np.signbit({0} - 0.17)"),
    "i": ("{0} % 2 == 0", "{0} >= 1", "{0} != 2"),
    "b": ("~{0}", "np.logical_not({0})"),
}
"""Conditions, by the kind of their operand."""

BOOLEANS = ("{0} & {1}", "np.logical_or({0}, {1})", "{0} ^ {1}", "{0} == {1}")
"""Of two booleans that broadcast together."""

CONVERSIONS = {
    "f": ("np.floor({0} * 1.7 + 0.21).astype(np.int64)",),
    "i": ("np.sin({0}.astype(np.float64))", "({0} % 3).astype(np.float64)", "({0} % 5).astype(np.float64) * 0.37"),
    "b": ("{0}.astype(np.float64)", "{0}.astype(np.int64)", "np.where({0}, 0.63, -0.47).astype(np.float64)"),
}
"""To another kind."""


def ramp(extent: int, rank: int, axis: int) -> str:
    """Numbers without meaning along an axis, which make what is ranked differ."""
    return f"np.arange({extent}).reshape({tuple(extent if i == axis else 1 for i in range(rank))}) * 0.1713"


# Each of the following draws an operation on one operand: a text, or None where the operand has no axis for it.


def reduction(draw: Draw, x: Any) -> str | None:
    """A sum, maximum, product ... over some axes."""
    axes: list[Any] = [None, *range(x.ndim), *([(0, -1)] if x.ndim > 1 else [])]
    axis, keepdims = draw(st.sampled_from(axes)), draw(st.booleans())
    options = f"axis={axis}" + (", keepdims=True" if keepdims else "")
    if x.dtype.kind == "b":
        return f"np.{draw(st.sampled_from(['any', 'all', 'sum']))}({{0}}, {options})"
    names = ["sum", "max", "min"] if x.dtype.kind == "i" else ["sum", "sum", "mean", "max", "min", "prod", "var"]
    name = draw(st.sampled_from([*names, *(["norm", "logsumexp", "std"] if x.dtype.kind == "f" else [])]))
    if name == "norm":
        return f"np.sqrt(np.sum({{0}} * {{0}}, {options}) + 0.07)"
    if name == "std":
        return f"np.sqrt(np.var({{0}}, {options}) + 0.11)"
    if name == "logsumexp":
        return f"np.log(np.sum(np.exp(np.minimum({{0}}, 1.9)), {options}))"
    return f"np.{name}({{0}}, {options})"


def rearrangement(draw: Draw, x: Any) -> str | None:
    """The same elements in another shape or order."""
    n, kinds = x.ndim, ["expand", "ravel", "reshape"]
    if n:
        kinds += ["transpose", "flip", "roll", "rot", "moveaxis"]
    kind, axis = draw(st.sampled_from(kinds)), draw(st.integers(-n, n - 1)) if n else 0
    if kind == "expand":
        return f"np.expand_dims({{0}}, {draw(st.integers(0, n))})" if n < 3 else None
    if kind == "ravel":
        return "np.ravel({0})"
    if kind == "reshape":
        shapes = [
            (x.size,),
            x.shape[::-1],
            (1, x.size),
            (x.size, 1),
            *((2, x.size // 2) for _ in range(1 - x.size % 2)),
        ]
        return f"np.reshape({{0}}, {draw(st.sampled_from(shapes))})"
    if kind == "transpose":
        return f"np.transpose({{0}}, {tuple(draw(st.permutations(range(n))))})"
    if kind == "flip":
        return f"np.flip({{0}}, {axis})"
    if kind == "roll":
        return f"np.roll({{0}}, {draw(st.sampled_from([1, -1, 2]))}, {axis})"
    if kind == "rot":
        return "np.rot90({0})" if n > 1 else "{0}[::-1]"
    return f"np.moveaxis({{0}}, {axis}, {draw(st.integers(0, n - 1))})"


def selection(draw: Draw, x: Any) -> str | None:
    """A part of an array, by an index of constants."""
    if not x.ndim:
        return None
    entries: list[str] = []
    fancy = False
    for extent in x.shape:
        options = [":", ":", "::-1", "::2", f"{draw(st.integers(-extent, extent - 1))}"]
        if extent > 1:
            options += ["1:", ":-1"]
        entry = draw(st.sampled_from([*options, *([] if fancy else ["fancy"])]))
        if entry == "fancy":
            fancy = True
            entry = f"np.array({draw(st.lists(st.integers(-extent, extent - 1), min_size=1, max_size=3))})"
        entries.append(entry)
    if draw(st.integers(0, 4)) == 0 and x.ndim < 3:
        entries.insert(draw(st.integers(0, len(entries))), "None")
    return "{0}[" + ", ".join(entries) + "]"


def growth(draw: Draw, x: Any) -> str | None:
    """A larger array: padded, repeated, stacked."""
    kind = draw(st.sampled_from(["broadcast", "stack", "stack", "pad", "repeat", "tile", "concatenate", "outer"]))
    if kind == "broadcast":
        return f"np.broadcast_to({{0}}, {(2, *x.shape)})"
    if kind == "stack":
        return (
            f"np.stack([{{0}}, {{0}}[..., ::-1]], axis={draw(st.integers(0, x.ndim))})"
            if x.ndim
            else "np.stack([{0}, {0}])"
        )
    if not x.ndim:
        return None
    axis = draw(st.integers(0, x.ndim - 1))
    if kind == "pad":
        widths = [(draw(st.integers(0, 1)), draw(st.integers(0, 1))) for _ in x.shape]
        modes = ["constant", "edge", "wrap", *(["reflect"] if min(x.shape) > 1 else [])]
        return f"np.pad({{0}}, {widths}, mode={draw(st.sampled_from(modes))!r})"
    if kind == "repeat":
        return f"np.repeat({{0}}, 2, axis={axis})"
    if kind == "tile":
        return f"np.tile({{0}}, {tuple(2 if i == axis else 1 for i in range(x.ndim))})"
    if kind == "concatenate":
        return f"np.concatenate([{{0}}, np.flip({{0}}, {axis})], axis={axis})"
    return "np.outer({0}, {0})" if x.ndim == 1 and x.dtype.kind != "b" else None


def along(draw: Draw, x: Any) -> str | None:
    """Running sums, differences and order along an axis."""
    if not x.ndim or x.dtype.kind == "b":
        return None
    axis = draw(st.integers(0, x.ndim - 1))
    kinds = ["cumsum", "sort", "cumsum_back", *(["diff"] if x.shape[axis] > 1 else [])]
    if x.dtype.kind == "f":
        kinds += ["cumprod", "argsort", "argmax", "argmin", "take_along", "softmax"]
    kind = draw(st.sampled_from(kinds))
    shifted = f"{{0}} + {ramp(x.shape[axis], x.ndim, axis)}"
    if kind == "cumsum_back":
        return f"np.flip(np.cumsum(np.flip({{0}}, {axis}), axis={axis}), {axis})"
    if kind == "argsort":
        return f"np.argsort({shifted}, axis={axis})"
    if kind in ("argmax", "argmin"):
        return f"np.{kind}({shifted}, axis={draw(st.sampled_from([axis, axis - x.ndim]))})"
    if kind == "take_along":
        return f"np.take_along_axis({{0}} * {{0}}, np.argsort({shifted}, axis={axis}), axis={axis})"
    if kind == "softmax":
        shift = f"{{0}} - np.max({{0}}, axis={axis}, keepdims=True)"
        return f"np.exp({shift}) / np.sum(np.exp({shift}), axis={axis}, keepdims=True)"
    return f"np.{kind}({{0}}, axis={axis})"


def square_part(draw: Draw, x: Any) -> str | None:
    """Triangles and diagonals of a matrix."""
    if x.ndim < 2 or x.dtype.kind == "b":
        return None
    k = draw(st.integers(-1, 1)) if min(x.shape[-2:]) > 1 else 0
    texts = [f"np.tril({{0}}, {k})", f"np.triu({{0}}, {k})"]
    if x.ndim == 2:
        texts += ["np.trace({0})", f"np.diagonal({{0}}, {k})", "{0}.T @ {0}", "{0} @ {0}.T"]
    return str(draw(st.sampled_from(texts)))


def update(draw: Draw, x: Any) -> str | None:
    """An array with elements replaced, or added to."""
    if not x.ndim or x.dtype.kind != "f":
        return None
    i = draw(st.integers(-x.shape[0], x.shape[0] - 1))
    texts = [
        f"at({{0}})[{i}].set(0.77)", f"at({{0}})[{i}].add(np.sin({{0}}[0]))", "at({0})[..., :1].set({0}[..., -1:])",
        f"at({{0}})[np.array([{i}, 0, {i}])].add(0.5 * {{0}}[0])",
    ]  # fmt: skip
    return str(draw(st.sampled_from(texts)))


STRUCTURAL = (reduction, rearrangement, selection, growth, along, square_part, update)


def contractions(a: Sequence[int], b: Sequence[int]) -> list[str]:
    """The products of two arrays that their shapes allow."""
    texts = []
    if len(a) and len(b):
        inner = b[-2] if len(b) > 1 else b[0]
        batch_fits = len(a) < 3 or len(b) < 3 or a[:-2] == b[:-2]
        if a[-1] == inner and batch_fits:
            texts += ["{0} @ {1}", "np.matmul({0}, {1})"]
        if a[-1] == inner:
            texts += ["np.dot({0}, {1})"]
        if a[-1] == b[-1]:
            texts += [
                "np.inner({0}, {1})",
                "np.einsum('...i,...i->...', {0}[..., :], {1})" if a == b else "np.inner({0}, {1})",
            ]
        if a[0] == b[0]:
            texts += ["np.tensordot({0}, {1}, axes=([0], [0]))"]
    if len(a) == len(b) == 2:
        if a[0] == b[0]:
            texts += ["np.einsum('ij,ik->kj', {0}, {1})"]
        if a == b:
            texts += ["np.einsum('ij,ij->i', {0}, {1})", "np.vdot({0}, {1})"]
    if len(a) == len(b) == 1:
        texts += ["np.outer({0}, {1})", "np.einsum('i,j->ij', {0}, {1})"]
    if len(a) == 2 and len(b) == 1 and a[0] == b[0]:
        texts += ["np.einsum('ij,i->j', {0}, {1})"]
    return texts


def indexed(axis: int, extent: int) -> tuple[str, ...]:
    """Rows of `{0}` at traced positions `{1}`."""
    return (
        f"np.take({{0}}, {{1}} % {extent}, axis={axis})",
        f"np.take({{0}}, ({{1}} % {extent}) - {extent}, axis={axis})",
        *(
            [f"at({{0}})[{{1}} % {extent}].add(0.83)"] if axis == 0 else []
        ),  # x[i] is NumPy's own where only i is traced
    )
