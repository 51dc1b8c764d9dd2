"""Keys, bits and integers: the published vectors of Threefry, and jax.random to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fungrad as fg
from fungrad import random
from fungrad.primitives.random import threefry2x32

UNSIGNED = [np.uint8, np.uint16, np.uint32, np.uint64]
INTEGERS = [np.int8, np.int16, np.int32, np.int64, *UNSIGNED]


@pytest.fixture(scope="module")
def jr():
    """jax.random with 64-bit types."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.random


def same(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [  # Random123, tests/kat_vectors, "threefry 2 32 20" (counter, key, result)
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_published_vectors(key, counter, expected):
    words = threefry2x32(*[np.array([w], np.uint32) for w in (*key, *counter)])
    assert int(words[0]) == expected[0] << 32 | expected[1]


def test_golden_values():
    """Written by jax 0.10.2 with jax_enable_x64: `jax.random.<name>(jax.random.PRNGKey(42), ...)`."""
    key = random.key(42)
    assert random.key(-3).tolist() == [4294967295, 4294967293]
    assert random.split(key, 2).tolist() == [[1832780943, 270669613], [64467757, 2916123636]]
    assert random.fold_in(key, 7).tolist() == [2547012911, 1371500959]
    assert random.bits(key, (2,), np.uint64).tolist() == [7871734211187709741, 276886910877598708]
    assert random.bits(key, (2,), np.uint32).tolist() == [2098992034, 2919706841]
    assert random.bits(key, (3,), np.uint8).tolist() == [162, 217, 249]
    assert random.uniform(key, (2,)).tolist() == [0.4267275666499091, 0.015010069515314584]
    assert random.uniform(key, (2,), np.float32).tolist() == [0.48870956897735596, 0.6797971725463867]
    assert random.randint(key, (5,), 0, 100).tolist() == [85, 18, 3, 71, 5]
    assert random.permutation(key, 8).tolist() == [7, 4, 2, 5, 3, 6, 0, 1]
    np.testing.assert_allclose(random.normal(key, (2,)), [-0.18471174528191162, -2.169824560397754], rtol=1e-14)


SEEDS = [0, 1, -7, 2**40 + 3, -(2**63), 2**63 - 1, np.int32(-5), np.uint8(200), np.int16(-1), np.uint64(2**63 + 9)]


@pytest.mark.parametrize("seed", SEEDS, ids=repr)
def test_keys(jr, seed):
    same(random.key(seed), jr.PRNGKey(seed))
    same(fg.jit(random.key)(seed), jr.PRNGKey(seed))


@pytest.mark.parametrize("seed", [0, 42, -1, 2**50 + 17])
@pytest.mark.parametrize("dtype", UNSIGNED)
def test_a_million_bits(jr, seed, dtype):
    """Three keys a seed, together more than a million draws for each dtype."""
    for key in (random.key(seed), random.split(random.key(seed), 3)[2], random.fold_in(random.key(seed), 5)):
        same(random.bits(key, (300, 301), dtype), jr.bits(key, (300, 301), dtype))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.sampled_from(UNSIGNED),
)
def test_any_key_and_shape(jr, seed, data, shape, dtype):
    key = random.key(seed)
    same(random.fold_in(key, data), jr.fold_in(key, data))
    same(random.split(key, shape), jr.split(key, shape))
    same(random.bits(key, shape, dtype), jr.bits(key, shape, dtype))


@pytest.mark.parametrize("dtype", UNSIGNED)
def test_compiled_bits(dtype):
    for shape in [(), (1,), (7, 5), (0, 3), (40_000,)]:
        compiled = fg.jit(lambda k, shape=shape: random.bits(k, shape, dtype))
        key = random.key(9)
        same(np.asarray(compiled(key)), random.bits(key, shape, dtype))


def test_the_printed_program_runs():
    from fungrad.jit.lower import lower

    key = random.key(3)
    f = fg.jit(lambda k, n: random.bits(random.fold_in(k, n), (2, 3)))
    from fungrad.jit.emit_python import run_source

    (bits,) = run_source(lower(f.graph(key, np.uint32(8))), [key, np.uint32(8)])
    same(bits, random.bits(random.fold_in(key, 8), (2, 3)))


def test_compiled_bits_are_not_host_calls():
    source = fg.jit(lambda k, n: random.bits(random.fold_in(k, n), (5,), np.uint32)).source(random.key(0), 3)
    assert "threefry2x32(" in source
    assert "host(" not in source


def test_counters_beyond_32_bits():
    from fungrad.primitives.random import Threefry
    from fungrad.trace import bind

    key, start = random.key(0), np.uint64(2**32 - 2)
    words = bind(Threefry((4,)), key, start)
    alone = [bind(Threefry(()), key, np.uint64(start + i)) for i in range(4)]
    same(words, np.array(alone))
    same(fg.jit(lambda k, s: bind(Threefry((4,)), k, s))(key, start), words)


def test_batched_keys():
    """Leading axes of the key are independent draws."""
    from fungrad.primitives.random import Threefry
    from fungrad.trace import bind

    keys, zero = random.split(random.key(0), (2, 3)), np.zeros((2, 3), np.uint64)
    expected = np.array([[random.bits(k, (4, 5)) for k in row] for row in keys])
    same(bind(Threefry((4, 5)), keys, zero), expected)
    same(fg.jit(lambda k: bind(Threefry((4, 5)), k, zero))(keys), expected)
    op = Threefry((4, 5))
    same(op.batch(3, [keys[0], np.uint64(0)], [True, False]), expected[0])
    starts = np.arange(3, dtype=np.uint64)
    same(op.batch(3, [keys[0, 0], starts], [False, True])[:, 0, 0], random.bits(keys[0, 0], (3,)))


# -- integers, booleans, order ---------------------------------------------------------------------------------------


def ranges(dtype):
    limits = np.iinfo(dtype)
    least, most = int(limits.min), int(limits.max)
    return [(0, 10), (3, 4), (least, most), (3, most // 2), (most - 2, most), (least, most + 1)]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_randint(jr, dtype):
    key = random.key(17)
    for low, high in ranges(dtype):
        ours = random.randint(key, (1000,), low, high, dtype)
        assert low <= int(ours.min())
        assert int(ours.max()) < high
        if high <= np.iinfo(np.int64).max:  # jax takes no larger bound
            same(ours, jr.randint(key, (1000,), low, high, dtype))
            same(random.randint(key, (), low, high, dtype), jr.randint(key, (), low, high, dtype))
            traced = fg.jit(lambda k, a, b: random.randint(k, (1000,), a, b, dtype))
            same(traced(key, np.int64(low), np.int64(high)), ours)


def test_randint_of_bounds_in_arrays(jr):
    key, low, high = random.key(1), np.array([1, -5, 9]), np.array([[40], [100], [10**15]])
    same(random.randint(key, (3, 3), low, high), jr.randint(key, (3, 3), low, high))


def test_traced_bounds_out_of_range_are_moved_into_it(jr):
    f = fg.jit(lambda k, a, b: random.randint(k, (50,), a, b, np.int8))
    key = random.key(1)
    for low, high in [(-1000, 1000), (5, 5), (9, 3), (-7, 128)]:
        same(f(key, low, high), jr.randint(key, (50,), low, high, np.int8))


def test_booleans_and_signs(jr):
    key = random.key(5)
    same(random.bernoulli(key, 0.3, (1000,)), jr.bernoulli(key, 0.3, (1000,)))
    p = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    same(random.bernoulli(key, p), jr.bernoulli(key, p))
    same(random.rademacher(key, (10, 10)), jr.rademacher(key, (10, 10)))
    same(random.rademacher(key, (9,), np.int8), jr.rademacher(key, (9,), np.int8))


@pytest.mark.parametrize("size", [0, 1, 2, 1500, 3000])
def test_permutation_of_a_count(jr, size):
    """One round of sorting up to 1625 elements, two beyond."""
    key = random.key(size)
    same(random.permutation(key, size), jr.permutation(key, size))
    same(fg.jit(lambda k: random.permutation(k, size))(key), random.permutation(key, size))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("independent", [False, True])
def test_permutation_of_an_array(jr, axis, independent):
    x = np.random.default_rng(0).normal(size=(60, 70))
    same(random.permutation(random.key(2), x, axis, independent), jr.permutation(random.key(2), x, axis, independent))


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_choice(jr, replace, weighted):
    key = random.key(4)
    p = np.arange(1.0, 51.0) / 1275 if weighted else None
    same(random.choice(key, 50, (4, 5), replace, p), jr.choice(key, 50, (4, 5), replace, p))
    x = np.random.default_rng(0).normal(size=(3, 50))
    same(random.choice(key, x, (2, 4), replace, p, axis=1), jr.choice(key, x, (2, 4), replace, p, axis=1))
    compiled = fg.jit(lambda k, x: random.choice(k, x, (2, 4), replace, p, axis=1))
    same(compiled(key, x), random.choice(key, x, (2, 4), replace, p, axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_categorical(jr, dtype):
    key = random.key(6)
    logits = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(dtype)
    for axis in (0, 1, 2, -1):
        same(random.categorical(key, logits, axis), jr.categorical(key, logits, axis))
    same(random.categorical(key, logits, 1, (50, 2, 4)), jr.categorical(key, logits, 1, (50, 2, 4)))
    ours, theirs = (r.categorical(key, logits, -1, (3, 2, 3), replace=False) for r in (random, jr))
    np.testing.assert_array_equal(ours, theirs)  # jax gives int32 here


def test_compiled_draws_have_the_bits_of_jax(jr):
    """A million each, of a key that is split, folded and mapped inside the compiled function."""

    def draw(r, key):
        first, second = r.split(key)
        third = r.fold_in(second, 9)
        return [
            r.bits(first, (1000, 1000), np.uint32),
            r.bits(third, (10**6,), np.uint64),
            r.uniform(second, (100, 100, 100), np.float32),
            r.uniform(third, (10**6,)),
            r.randint(third, (10**6,), -5, 10**12),
            r.split(third, (10, 50)),
            r.bernoulli(second, 0.3, (10**6,)),
            r.permutation(third, 1000),
        ]

    for seed in (3, -(2**40)):
        compiled = fg.jit(lambda key: draw(random, key))(random.key(seed))
        for ours, theirs in zip(compiled, draw(jr, jr.PRNGKey(seed)), strict=True):
            same(ours, theirs)
    keys = random.split(random.key(5), 100)
    mapped = fg.jit(fg.vmap(lambda key: random.bits(random.fold_in(key, 2), (10_000,))))(keys)
    for ours, key in zip(mapped[::33], keys[::33], strict=True):
        same(ours, jr.bits(jr.fold_in(key, 2), (10_000,), np.uint64))
