"""Pytrees: nested containers of arrays, taken apart and put together again.

Containers are tuple, list, dict and defaultdict (in the order of their sorted keys; what makes the default belongs to
the structure), OrderedDict (in its own), namedtuple, None (no leaves), dataclasses, and classes registered with
`register`. Everything else is a leaf. A `TreeDef` is the structure without the leaves; equal structures compare equal
and hash equal. Errors name the place of a leaf as the user would write it: `params['w1']`.
"""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from fungrad.errors import ShapeError, TreeError


class TreeDef:
    """The structure of a pytree: the container's class, what it needs besides children, and the children's
    structures.
    """

    __slots__ = ("_hash", "children", "kind", "leaves", "meta")

    def __init__(self, kind: Any, meta: Any, children: tuple[TreeDef, ...]) -> None:
        self.kind = kind
        self.meta = meta
        self.children = children
        self.leaves: int = 1 if kind is LEAF_KIND else sum(child.leaves for child in children)
        self._hash = hash((kind, meta, children))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, TreeDef)
            and self._hash == other._hash
            and self.kind is other.kind
            and self.meta == other.meta
            and self.children == other.children
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        if self.kind is LEAF_KIND:
            return "*"
        if self.kind is type(None):
            return "None"
        inner = [repr(child) for child in self.children]
        if self.kind is tuple:
            return f"({inner[0]},)" if len(inner) == 1 else f"({', '.join(inner)})"
        if self.kind is list:
            return f"[{', '.join(inner)}]"
        if self.kind in (dict, OrderedDict, defaultdict):
            factory, keys = self.meta if self.kind is defaultdict else (None, self.meta)
            text = "{" + ", ".join(f"{k!r}: {c}" for k, c in zip(keys, inner, strict=True)) + "}"
            if self.kind is defaultdict:
                return f"defaultdict({getattr(factory, '__name__', factory)}, {text})"
            return text if self.kind is dict else f"OrderedDict({text})"
        return f"{self.kind.__name__}({', '.join(inner)})"


class LEAF_KIND:
    """The kind of a TreeDef that is one leaf."""


LEAF = TreeDef(LEAF_KIND, None, ())


class Container(NamedTuple):
    """How to take instances of a class apart and put them together."""

    flatten: Callable[[Any], tuple[Sequence[Any], Any]]  # children, hashable meta
    unflatten: Callable[[Any, Sequence[Any]], Any]  # meta, children
    keys: Callable[[Any, int], list[str]]  # meta, number of children: how a user writes each access


def _indices(_: Any, count: int) -> list[str]:
    return [f"[{i}]" for i in range(count)]


def _brackets(keys: Sequence[Any], _: int) -> list[str]:
    return [f"[{key!r}]" for key in keys]


def _flatten_dict(tree: dict[Any, Any]) -> tuple[Sequence[Any], Any]:
    try:
        keys = sorted(tree)
    except TypeError:
        keys = sorted(tree, key=lambda key: (type(key).__name__, repr(key)))
    return [tree[key] for key in keys], tuple(keys)


def _flatten_defaultdict(tree: defaultdict[Any, Any]) -> tuple[Sequence[Any], Any]:
    children, keys = _flatten_dict(tree)
    return children, (tree.default_factory, keys)


_CONTAINERS: dict[type, Container | None] = {  # None for a class known to be a leaf
    tuple: Container(lambda t: (t, None), lambda _, children: tuple(children), _indices),
    list: Container(lambda t: (t, None), lambda _, children: list(children), _indices),
    dict: Container(
        _flatten_dict,
        lambda keys, children: dict(zip(keys, children, strict=True)),
        _brackets,
    ),
    OrderedDict: Container(
        lambda t: (list(t.values()), tuple(t)),
        lambda keys, children: OrderedDict(zip(keys, children, strict=True)),
        _brackets,
    ),
    defaultdict: Container(
        _flatten_defaultdict,
        lambda meta, children: defaultdict(meta[0], zip(meta[1], children, strict=True)),
        lambda meta, count: _brackets(meta[1], count),
    ),
    type(None): Container(lambda _: ((), None), lambda _, __: None, _indices),
}


def register(
    cls: type,
    flatten: Callable[[Any], tuple[Sequence[Any], Any]],
    unflatten: Callable[[Any, Sequence[Any]], Any],
) -> None:
    """Make instances of `cls` containers.

    Args:
        cls: the class; subclasses are not included.
        flatten: takes an instance, returns `(children, meta)` with hashable `meta`.
        unflatten: takes `(meta, children)`, returns an instance.

    Raises:
        TreeError: the class is registered already.

    >>> class Line:
    ...     def __init__(self, slope, offset, name):
    ...         self.slope, self.offset, self.name = slope, offset, name
    >>> register(Line, lambda l: ((l.slope, l.offset), l.name), lambda name, children: Line(*children, name))
    >>> leaves(Line(2.0, 1.0, 'first'))
    [2.0, 1.0]
    """
    if _CONTAINERS.get(cls) is not None:
        raise TreeError(f"{cls.__name__} is a pytree container already; register a class once.")
    _CONTAINERS[cls] = Container(flatten, unflatten, _indices)


def _container(tree: Any) -> Container | None:
    """How to take `tree` apart, or None for a leaf. Namedtuples and dataclasses are found once for each class."""
    cls = type(tree)
    if cls in _CONTAINERS:
        return _CONTAINERS[cls]
    found = None
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        names = [f".{name}" for name in cls._fields]
        found = Container(lambda t: (t, None), lambda _, c: cls(*c), lambda _, __: names)
    elif is_dataclass(cls):
        attributes = [f.name for f in fields(cls) if f.init]

        def rebuild(_: Any, children: Sequence[Any]) -> Any:
            return cls(**dict(zip(attributes, children, strict=True)))

        found = Container(
            lambda t: ([getattr(t, a) for a in attributes], None), rebuild, lambda _, __: [f".{a}" for a in attributes]
        )
    _CONTAINERS[cls] = found
    return found


def known(cls: Any) -> Container:
    """The container of a class that is part of a structure."""
    found = _CONTAINERS[cls]
    assert found is not None
    return found


def flatten(tree: Any) -> tuple[list[Any], TreeDef]:
    """The leaves of a pytree from left to right, and its structure.

    Args:
        tree: containers in containers; what is no container is a leaf, a whole array too. None has no leaves.

    Returns:
        The leaves, as they are, and the TreeDef with which `unflatten` makes the pytree again.

    >>> flatten({'w': (1, 2), 'b': 3})
    ([3, 1, 2], {'b': *, 'w': (*, *)})
    """
    leaves: list[Any] = []
    return leaves, _flatten_into(tree, leaves)


def _flatten_into(tree: Any, leaves: list[Any]) -> TreeDef:
    cls = type(tree)
    container = _CONTAINERS[cls] if cls in _CONTAINERS else _container(tree)
    if container is None:
        leaves.append(tree)
        return LEAF
    children, meta = container.flatten(tree)
    return TreeDef(cls, meta, tuple([_flatten_into(child, leaves) for child in children]))


def unflatten(structure: TreeDef, leaves: Iterable[Any]) -> Any:
    """The pytree of that structure with those leaves.

    Args:
        structure: a TreeDef, of `structure` or `flatten`.
        leaves: as many as it has, from left to right; they may be anything.

    Raises:
        TreeError: too few or too many leaves, or `structure` is no TreeDef.

    >>> unflatten(structure([0, (0, 0)]), 'abc')
    ['a', ('b', 'c')]
    """
    if not isinstance(structure, TreeDef):
        raise TreeError(f"unflatten takes a TreeDef and leaves, got {type(structure).__name__} first. See `structure`.")
    given = list(leaves)
    if len(given) != structure.leaves:
        raise TreeError(f"a pytree {structure} has {structure.leaves} leaves, got {len(given)}")
    return _build(structure, iter(given))


def _build(structure: TreeDef, leaves: Any) -> Any:
    if structure.kind is LEAF_KIND:
        return next(leaves)
    children = [_build(child, leaves) for child in structure.children]
    return known(structure.kind).unflatten(structure.meta, children)


def key_paths(structure: TreeDef, root: str = "") -> list[str]:
    """How a user writes the access to each leaf, as `params['w1'][0]`."""
    if structure.kind is LEAF_KIND:
        return [root]
    keys = known(structure.kind).keys(structure.meta, len(structure.children))
    return [path for key, child in zip(keys, structure.children, strict=True) for path in key_paths(child, root + key)]


def leaves(tree: Any) -> list[Any]:
    """The leaves of a pytree from left to right; of a dict in the order of its sorted keys.

    >>> leaves([1, {'b': 2, 'a': (3, None)}])
    [1, 3, 2]
    """
    return flatten(tree)[0]


def structure(tree: Any) -> TreeDef:
    """The structure of a pytree: what is left of it without its leaves. Equal structures compare and hash equal.

    >>> structure([1, (2, None)]) == structure([np.ones(3), ('x', None)])
    True
    """
    return flatten(tree)[1]


def map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Apply `f` to corresponding leaves of pytrees of one structure.

    Args:
        f: a function of as many leaves as there are trees.
        tree, rest: pytrees.

    Returns:
        A pytree of that structure, with what `f` returns as leaves.

    Raises:
        TreeError: a later tree has another structure than the first; the message shows both.

    >>> map(lambda a, b: a + b, {'w': 1, 'b': (2, 3)}, {'w': 10, 'b': (20, 30)})
    {'b': (22, 33), 'w': 11}
    """
    first, shape = flatten(tree)
    others = []
    for position, other in enumerate(rest, start=2):
        flat, other_shape = flatten(other)
        if other_shape != shape:
            raise TreeError(f"tree {position} has the structure {other_shape}, expected that of the first, {shape}")
        others.append(flat)
    return unflatten(shape, [f(*xs) for xs in zip(first, *others, strict=True)])


def ravel(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """All numbers of a pytree as one vector, for what takes nothing else, such as SciPy's optimisers.

    Args:
        tree: a pytree of arrays and numbers; traced ones too.

    Returns:
        The leaves in their order, row by row, in one array of shape (size,) and of the dtype to which all promote; and
        the function that makes such a pytree of such a vector, with the shapes and dtypes of the leaves.

    Raises:
        ShapeError: that function was given another shape.

    >>> vector, unravel = ravel({'w': np.ones((2, 2)), 'b': 3.0})
    >>> vector
    array([3., 1., 1., 1., 1.])
    >>> unravel(2 * vector)['w']
    array([[2., 2.],
           [2., 2.]])
    """
    found, shape = flatten(tree)
    arrays = [x if hasattr(x, "dtype") else np.asarray(x) for x in found]
    ends = [*accumulate((math.prod(x.shape) for x in arrays), initial=0)]
    parts = [np.reshape(x, -1) for x in arrays]
    forms = [(x.shape, x.dtype) for x in arrays]

    def unravel(vector: Any) -> Any:
        if np.shape(vector) != (ends[-1],):
            raise ShapeError(f"unravel: the vector has shape {np.shape(vector)}, expected ({ends[-1]},)")
        cut = zip(pairwise(ends), forms, strict=True)
        return unflatten(
            shape, [np.reshape(vector[a:b], s).astype(dtype, copy=False)[()] for (a, b), (s, dtype) in cut]
        )

    return np.concatenate(parts) if parts else np.zeros(0), unravel


def split(tree: Any) -> tuple[list[Any], tuple[Any, Any]]:
    """The direct children of a container and what tells its kind; a leaf has no children."""
    container = _container(tree)
    if container is None:
        return [], (LEAF_KIND, None)
    children, meta = container.flatten(tree)
    return list(children), (type(tree), meta)
