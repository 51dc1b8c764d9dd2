"""Pytrees: taken apart and put together they are what they were; paths are what a user would write."""

from collections import Counter, OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fungrad as fg
from fungrad import tree, tree_code
from fungrad.errors import ShapeError, TreeError
from fungrad.testing.strategies import pytrees

Point = namedtuple("Point", "x y")


@dataclass(frozen=True)
class Layer:
    w: object
    b: object = None
    note: object = field(default=None, init=False, compare=False)


class Bag:
    def __init__(self, items, label):
        self.items, self.label = items, label

    def __eq__(self, other):
        return isinstance(other, Bag) and (self.items, self.label) == (other.items, other.label)

    __hash__ = None


tree.register(Bag, lambda bag: (bag.items, bag.label), lambda label, items: Bag(list(items), label))

leaves = st.one_of(st.integers(-5, 5), st.floats(allow_nan=False), st.booleans(), st.just("text"))
trees = pytrees(
    leaves,
    max_leaves=12,
    containers=lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda xy: Point(*xy)),
        st.tuples(inner, st.none()).map(lambda wb: Layer(*wb)),
        st.tuples(st.lists(inner, max_size=2), st.sampled_from("uv")).map(lambda x: Bag(*x)),
        st.dictionaries(st.sampled_from("zyx"), inner, max_size=2).map(OrderedDict),
        st.dictionaries(st.sampled_from("zyx"), inner, max_size=2).map(lambda d: defaultdict(int, d)),
    ),
)


@given(trees)
def test_round_trip(t):
    flat, structure = tree.flatten(t)
    assert tree.unflatten(structure, flat) == t
    assert type(tree.unflatten(structure, flat)) is type(t)
    assert structure.leaves == len(flat) == len(tree.leaves(t))
    assert tree.flatten(t)[1] == structure == tree.structure(t)
    assert hash(tree.structure(t)) == hash(structure)


@given(trees, trees)
def test_structures_are_equal_exactly_if_trees_are_shaped_alike(a, b):
    ones_a, ones_b = tree.map(lambda _: 1, a), tree.map(lambda _: 1, b)
    assert (tree.structure(a) == tree.structure(b)) == (ones_a == ones_b and type(ones_a) is type(ones_b))


@given(trees)
def test_key_paths_lead_to_the_leaves(t):
    flat, structure = tree.flatten(t)
    paths = tree.key_paths(structure, "t")
    assert len(paths) == len(flat)
    for path, leaf in zip(paths, flat, strict=True):
        if "Bag" in repr(structure):
            continue  # registered classes are numbered, whatever their attributes are
        assert eval(path, {"t": t}) is leaf or eval(path, {"t": t}) == leaf


@given(trees)
def test_map_keeps_the_structure(t):
    assert tree.map(lambda x: x, t) == t
    assert tree.leaves(tree.map(lambda a, b: a == b, t, t)) == [True] * len(tree.leaves(t))


def test_dicts_are_in_key_order_and_none_has_no_leaves():
    assert tree.leaves({"b": 1, "a": 2}) == [2, 1]
    assert tree.leaves((None, [None, 1])) == [1]
    assert tree.leaves({2: "two", "a": "A", 1: "one"}) == ["one", "two", "A"]
    assert tree.key_paths(tree.structure({"w": [1, 2], "p": Point(1, (2,))}), "params") == [
        "params['p'].x",
        "params['p'].y[0]",
        "params['w'][0]",
        "params['w'][1]",
    ]


def test_subclasses_of_containers_are_not_taken_for_them():
    assert tree.leaves([Counter(a=1)]) == [Counter(a=1)]


def test_ordered_dicts_keep_their_order_and_default_dicts_their_default():
    ordered, default = OrderedDict(b=1, a=2), defaultdict(list, b=1, a=2)
    assert tree.leaves((ordered, default)) == [1, 2, 2, 1]
    assert tree.structure(ordered) != tree.structure(OrderedDict(a=2, b=1))
    assert (
        tree.structure(default) == tree.structure(defaultdict(list, a=2, b=1)) != tree.structure(defaultdict(a=2, b=1))
    )
    assert repr(tree.structure(ordered)) == "OrderedDict({'b': *, 'a': *})"
    assert tree.key_paths(tree.structure((ordered, default)), "t") == [
        "t[0]['b']",
        "t[0]['a']",
        "t[1]['a']",
        "t[1]['b']",
    ]
    assert repr(tree.structure(default)) == "defaultdict(list, {'a': *, 'b': *})"
    doubled = tree.map(lambda x: 2 * x, default)
    assert doubled["c"] == []
    for gradient in (fg.grad, lambda f: fg.jit(fg.grad(f))):
        found = gradient(lambda t: t["b"] * t["a"] ** 2)(OrderedDict(b=3.0, a=2.0))
        assert found == OrderedDict(b=4.0, a=12.0)
        assert type(found) is OrderedDict


def test_repr_shows_the_structure():
    assert repr(tree.structure({"a": (1,), "b": [None, 2]})) == "{'a': (*,), 'b': [None, *]}"
    assert repr(tree.structure(Point(1, 2))) == "Point(*, *)"


def test_errors():
    with pytest.raises(TreeError, match="tree 3 has the structure"):
        tree.map(lambda *x: x, [1], [2], [3, 4])
    with pytest.raises(TreeError, match="3 leaves, got 4"):
        tree.unflatten(tree.structure((1, 2, 3)), range(4))
    with pytest.raises(TreeError, match="unflatten takes a TreeDef"):
        tree.unflatten([1, 2], tree.structure([1, 2]))
    with pytest.raises(TreeError, match="already"):
        tree.register(Bag, None, None)


def test_gradients_through_every_container():
    t = {"p": Point(1.0, [2.0]), "l": Layer(np.ones(2)), "bag": Bag([3.0], "u"), "n": None}

    def f(t):
        return t["p"].x * t["p"].y[0] + np.sum(t["l"].w) * t["bag"].items[0]

    found = fg.grad(f)(t)
    assert found["p"] == Point(2.0, [1.0])
    np.testing.assert_array_equal(found["l"].w, [3.0, 3.0])
    assert found["bag"].items == [2.0]
    assert found["n"] is None
    compiled = fg.jit(fg.grad(f))(t)
    assert type(compiled["p"]) is Point
    assert compiled["bag"].label == "u"


def test_deep_trees():
    deep = 1.0
    for _ in range(200):
        deep = [deep]
    assert tree.leaves(deep) == [1.0]


# -- code for one structure -------------------------------------------------------------------------------------------


@given(trees, trees)
def test_generated_code_takes_apart_its_structure_and_no_other(t, other):
    flat, structure = tree.flatten(t)
    take = tree_code.flattener(structure)
    assert take(t) == tuple(flat)
    found, other_structure = take(other), tree.structure(other)
    if other_structure == structure:
        assert found == tuple(tree.leaves(other))
    else:  # a container may stand where a leaf should be: whoever takes the leaves sees it
        assert found is None or any(tree.structure(x) != tree.LEAF for x in found)


@given(trees, st.data())
def test_generated_code_builds_its_structure(t, data):
    flat, structure = tree.flatten(t)
    chosen = data.draw(st.lists(st.integers(0, max(len(flat) - 1, 0)), unique=True)) if flat else []
    fixed = [(i, lambda i=i: flat[i]) for i in sorted(chosen)]
    found = tree_code.builder(structure, fixed)([x for i, x in enumerate(flat) if i not in chosen])
    assert found == t
    assert type(found) is type(t)


def test_generated_code_for_unusual_containers():
    class Stack(list):
        pass

    tree.register(Stack, lambda s: (list(reversed(s)), len(s)), lambda _, c: Stack(reversed(list(c))))
    t = {"b": Stack([1, 2]), "a": [], 3: ((),)}
    flat, structure = tree.flatten(t)
    assert tree_code.flattener(structure)(t) == tuple(flat) == (2, 1)
    assert tree_code.builder(structure)(flat) == t
    assert tree_code.flattener(structure)({"b": Stack([1, 2]), "a": [], 4: ((),)}) is None
    assert tree_code.flattener(structure)({"b": Stack([1]), "a": [], 3: ((),)}) is None


@given(pytrees())
def test_a_vector_of_all_numbers_and_back(drawn):
    vector, unravel = tree.ravel(drawn)
    leaves = tree.leaves(drawn)
    assert vector.shape == (sum(np.size(x) for x in leaves),)
    again = unravel(vector)
    assert tree.structure(again) == tree.structure(drawn)
    for a, b in zip(tree.leaves(again), leaves, strict=True):
        assert a.dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)


def test_ravel_is_differentiable_and_compiles():
    params = {"w": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": 0.5}
    vector, unravel = tree.ravel(params)

    def loss(p):
        return np.sum(np.sin(p["w"]) * p["b"])

    expected = tree.ravel(fg.grad(loss)(params))[0]
    for f in (fg.grad(lambda v: loss(unravel(v))), fg.jit(fg.grad(lambda v: loss(unravel(v))))):
        np.testing.assert_allclose(f(vector), expected, rtol=1e-14)
    jacobian = fg.jacobian(lambda p: tree.ravel(p)[0])(params)
    np.testing.assert_array_equal(jacobian["w"].reshape(5, 4), np.eye(5)[:, 1:])
    with pytest.raises(ShapeError, match=r"unravel: the vector has shape \(4,\), expected \(5,\)"):
        unravel(vector[:4])
    assert tree.ravel(())[0].shape == (0,)
