"""Functions with derivative rules of the user's own: `custom_jvp`, `custom_vjp`; and `checkpoint`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from fungrad import tree
from fungrad.arguments import (
    Leaves,
    as_leaf,
    check_callable,
    flatten_arguments,
    function_name,
    parameter_names,
    positions,
    with_others_fixed,
)
from fungrad.context import stepwise
from fungrad.errors import ArgumentError, TreeError
from fungrad.ir.types import type_of
from fungrad.lax.bodies import Signature, trace_body
from fungrad.passes import optimize
from fungrad.primitives.create import zeros_like
from fungrad.regions.inline import CustomJvp, CustomVjp, KeptCustomVjp, Remat
from fungrad.results import FlatFunction, matching_leaves, own, pair
from fungrad.trace import Tracer, bind, deepest
from fungrad.transforms.jvp import filled

Function = Callable[..., Any]


class _Custom:
    """What `custom_jvp` and `custom_vjp` share: the call, taken apart."""

    transform: str
    __name__: str

    def __call__(self, *args: Any) -> Any:
        raise NotImplementedError

    def __init__(self, f: Function, nondiff_argnums: int | Sequence[int] = ()) -> None:
        check_callable(self.transform, f)
        functools.update_wrapper(self, f, updated=())
        self._f = f
        self._nondiff = nondiff_argnums

    def _split(self, args: tuple[Any, ...]) -> tuple[tuple[int, ...], Leaves]:
        """The positions of the arguments that are not differentiated, and the leaves of the others."""
        chosen = self._nondiff
        fixed = () if isinstance(chosen, tuple | list) and not chosen else positions(self.transform, chosen, len(args))
        for i in fixed:
            if any(isinstance(x, Tracer) for x in tree.leaves(args[i])):
                raise ArgumentError(
                    f"{self.transform}: argument {i} of {function_name(self._f)} is in nondiff_argnums but holds a "
                    "traced value. Leave it out of nondiff_argnums and return zero for it."
                )
        dynamic = [i for i in range(len(args)) if i not in fixed]
        names = parameter_names(self._f, len(args))
        return fixed, flatten_arguments([args[i] for i in dynamic], lambda: [names[i] for i in dynamic])

    def _flat(self, f: Function, args: tuple[Any, ...], fixed: Sequence[int], form: str = "") -> FlatFunction:
        """A function of all arguments as one of the leaves of those not fixed; `form` is that of the pair it gives."""
        dynamic = [i for i in range(len(args)) if i not in fixed]
        structure = tree.structure(tuple(args[i] for i in dynamic))
        others = [
            x if i in fixed else None for i, x in enumerate(args)
        ]  # no traced value, which would outlive its trace
        return FlatFunction(self.transform, with_others_fixed(f, dynamic, others, {}), structure, bool(form), form)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<{self.transform} of {function_name(self._f)}>"


class custom_jvp(_Custom):
    """Give a function a derivative rule of your own, for both modes.

    Args:
        f: a function of pytrees of arrays, called with positional arguments.
        nondiff_argnums: positions of arguments that are not arrays to differentiate, such as functions or options. They
            are passed to the rule first.

    The rule is set with `defjvp`; reverse mode transposes it.

    >>> from fungrad import grad
    >>> @custom_jvp
    ... def log1pexp(x):
    ...     return np.log(1 + np.exp(x))
    >>> @log1pexp.defjvp
    ... def log1pexp_jvp(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), (1 - 1 / (1 + np.exp(x))) * t
    >>> float(grad(log1pexp)(100.0))
    1.0
    """

    transform = "custom_jvp"
    _rule: Function | None = None

    def defjvp(self, rule: Function) -> Function:
        """Set the rule: `rule(*nondiff, primals, tangents)` returns `(out, out_tangent)`. Returns `rule`."""
        check_callable("defjvp", rule)
        self._rule = rule
        return rule

    def defjvps(self, *rules: Function | None) -> None:
        """Set one rule for each argument: `rule(t, out, *primals)` gives its share of the tangent; None means zero."""

        def rule(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
            out = self(*primals)
            terms = [r(t, out, *primals) for r, t in zip(rules, tangents, strict=True) if r is not None]
            zero = tree.map(zeros_like, out)
            return out, functools.reduce(lambda a, b: tree.map(lambda x, y: x + y, a, b), terms, zero)

        self.defjvp(rule)

    def __call__(self, *args: Any) -> Any:
        if self._rule is None:
            raise ArgumentError(f"custom_jvp: {function_name(self._f)} has no rule yet; set it with defjvp.")
        fixed, leaves = self._split(args)
        if deepest(leaves.values) is None:
            return self._f(*args)
        flat = self._flat(self._f, args, fixed)
        user_rule, name, count = self._rule, function_name(self._f), len(leaves.values)
        structure, given = leaves.structure, [args[i] for i in fixed]  # the rule keeps no traced value

        def evaluate(*values: Any) -> list[Any]:
            return flat.outs(flat(*values))

        def rule(*values: Any) -> list[Any]:
            primals, tangents = (tree.unflatten(structure, half) for half in (values[:count], values[count:]))
            out, tangent = pair("custom_jvp", user_rule, user_rule(*given, primals, tangents), "(out, tangent)")
            if tree.structure(out) != flat.out:
                raise TreeError(
                    f"custom_jvp: the rule of {name} returned an out of the structure {tree.structure(out)!r}, but "
                    f"{name} returns {flat.out!r}."
                )
            outs = tree.leaves(out)
            return filled(matching_leaves("custom_jvp", "out_tangent", tangent, flat.out, outs, f"out of {name}"), outs)

        outs = bind(CustomJvp(evaluate, rule), *leaves.values)
        return tree.unflatten(flat.out, own(outs, leaves.values))


class custom_vjp(_Custom):
    """Give a function a reverse-mode rule of your own.

    Args:
        f: a function of pytrees of arrays, called with positional arguments.
        nondiff_argnums: positions of arguments that are not arrays to differentiate. They are passed to `backward`
            first.

    The rule is set with `defvjp`. Forward mode transposes it if it is linear in the cotangent, and raises if it is not,
    as here; `custom_jvp` always serves both.

    >>> from fungrad import grad
    >>> @custom_vjp
    ... def clip_gradient(x):
    ...     return x
    >>> clip_gradient.defvjp(lambda x: (x, None), lambda _, ct: (np.clip(ct, -1.0, 1.0),))
    >>> float(grad(lambda x: 5.0 * clip_gradient(x))(2.0))
    1.0
    """

    transform = "custom_vjp"
    _rules: tuple[Function, Function] | None = None

    def defvjp(self, forward: Function, backward: Function) -> None:
        """Set the rule.

        Args:
            forward: with the arguments of `f`, returns `(out, residuals)`; the residuals are a pytree of arrays.
            backward: `backward(*nondiff, residuals, ct)` returns a tuple with a cotangent for each differentiable
                argument: a pytree like it, or None for zero.
        """
        for rule in (forward, backward):
            check_callable("defvjp", rule)
        self._rules = forward, backward

    def __call__(self, *args: Any) -> Any:
        if self._rules is None:
            raise ArgumentError(f"custom_vjp: {function_name(self._f)} has no rule yet; set it with defvjp.")
        fixed, leaves = self._split(args)
        values = tuple(leaves.values)
        top = deepest(values)
        if top is None:
            return self._f(*args)
        flat = self._flat(self._f, args, fixed)
        flat_forward = self._flat(self._rules[0], args, fixed, "(out, residuals)")
        user_backward, name = self._rules[1], function_name(self._f)
        structure, fixed_arguments = leaves.structure, [args[i] for i in fixed]  # the rule keeps no traced value
        types = [type_of(x) for x in values]

        def evaluate(*values: Any) -> list[Any]:
            return flat.outs(flat(*values))

        def forward(*values: Any) -> list[Any]:
            results = flat_forward(*values)
            outs = flat_forward.outs(results)
            paths = tree.key_paths(flat_forward.aux, "the residuals")
            found = zip(results[len(outs) :], paths, strict=True)
            return [*outs, *(as_leaf(x, f"{path} of {name}")[0] for x, path in found)]

        def backward(residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
            saved = tree.unflatten(flat_forward.aux, residuals)
            ct = tree.unflatten(flat_forward.out, cts)
            found = user_backward(*fixed_arguments, saved, ct)
            given = tuple(found) if isinstance(found, list) else found
            return matching_leaves(
                "custom_vjp", "the result of backward", given, structure, types, f"the arguments of {name}"
            )

        op = CustomVjp(evaluate, forward, backward)
        if not top.concrete:
            outs = bind(op, *values)
            return tree.unflatten(flat.out, own(outs, values))
        kept = KeptCustomVjp(op, lambda: flat_forward.out.leaves)
        outs = top.record(kept, values, lambda *inner: tuple(forward(*inner)))
        return tree.unflatten(flat_forward.out, own(outs[: flat_forward.out.leaves], values))


def checkpoint(f: Function) -> Function:
    """A function whose intermediate values are computed again in the backward pass instead of being kept.

    The backward pass then needs the memory of the arguments and of one run of `f`, at the price of running it twice.
    With a loop of T steps as sqrt(T) checkpointed loops of sqrt(T) steps, 2 sqrt(T) carries are kept instead of T.

    Args:
        f: a function of pytrees of arrays, written in NumPy. It is traced: Python control flow on values is refused.

    >>> from fungrad import grad
    >>> float(grad(checkpoint(lambda x: np.sin(np.sin(x))))(0.0))
    1.0
    """
    check_callable("checkpoint", f)

    @functools.wraps(f, updated=())
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        if stepwise():
            return f(*args, **kwargs)
        arguments = [*args, kwargs]
        names = [*parameter_names(f, len(args)), "kwargs"]
        leaves = flatten_arguments(arguments, lambda: names)

        def of_all(*given: Any) -> Any:
            return f(*given[:-1], **given[-1])

        of_all.__name__ = function_name(f)
        types = [type_of(x) for x in leaves.values]
        body = trace_body(
            "checkpoint", of_all, Signature(leaves.structure.children, types, leaves.weak, names), branch=True
        )
        operands = [*body.captures, *leaves.values]
        if deepest(operands) is None:
            return f(*args, **kwargs)
        return tree.unflatten(body.structure, own(bind(Remat(optimize(body.graph)), *operands), operands))

    return checkpointed


remat = checkpoint
