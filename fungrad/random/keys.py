"""Keys, new keys from old ones, and the random bits everything else is made of.

The layout of bits is JAX's "partitionable" one, its default: element i of an array is Threefry of the key and the
64-bit counter i, whatever the shape. So the first elements do not depend on how many are drawn, and
`split(key, n)[i]` is `fold_in(key, i)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, DtypeError, ShapeError
from fungrad.ir.types import DType
from fungrad.primitives.random import LONG, WORD, Threefry
from fungrad.primitives.shape import Shape
from fungrad.random.checks import as_integer, as_key, as_shape, unsigned_dtype
from fungrad.trace import bind

_UPPER = LONG.type(1 << 32)  # division by it is the shift that also compiles to loops
_START = LONG.type(0)


def key(seed: Any) -> Any:
    """The key of a seed.

    Args:
        seed: an integer of up to 64 bits, which may be traced.

    Returns:
        uint32 of shape (2,): the upper and the lower half of the seed, as `jax.random.PRNGKey`. Keys of nearby seeds
        give unrelated numbers.

    Raises:
        DtypeError: the seed is not an integer.
        ShapeError: it is an array of seeds.
        ArgumentError: it has more than 64 bits.

    >>> key(42)
    array([ 0, 42], dtype=uint32)
    """
    if isinstance(seed, bool):
        raise DtypeError(f"key: seed must be an integer, got {seed}.")
    number = as_integer("key", "seed", seed)
    if type(number) is int:
        try:
            number = np.int64(number)
        except OverflowError:
            raise ArgumentError(f"key: seed must fit 64 bits, between -2**63 and 2**63 - 1, got {number}.") from None
    if number.ndim:
        raise ShapeError(
            f"key: seed must be one integer, got an array of shape {number.shape}. Use split(key(seed), n) for n keys."
        )
    wide = number.dtype.itemsize == 8
    upper = (number.astype(LONG) // _UPPER).astype(WORD) if wide else WORD.type(0)
    return np.stack([upper, number.astype(WORD)])


def split(key: Any, num: Any = 2) -> Any:
    """New keys from one, which should not be used any more.

    Args:
        key: uint32 of shape (2,).
        num: how many keys, an integer or a shape.

    Returns:
        uint32 of shape (num, 2), or (*num, 2). `a, b = split(key)` takes two apart.

    Raises:
        DtypeError, ShapeError: `key` is not a key, or `num` is negative.

    >>> split(key(0)).shape
    (2, 2)
    """
    words = bind(Threefry(as_shape("split", num)), as_key("split", key), _START)
    return _pair(words)


def fold_in(key: Any, data: Any) -> Any:
    """A new key from a key and a number, such as the number of an iteration.

    Args:
        key: uint32 of shape (2,).
        data: an integer from 0 to 2**32 - 1, which may be traced; of wider integer arrays the lower 32 bits count.

    Returns:
        uint32 of shape (2,). Different numbers give different keys.

    Raises:
        DtypeError, ShapeError: `key` is not a key, or `data` is not one integer.
        ArgumentError: `data` is out of range.

    >>> bool(np.all(fold_in(key(0), 3) == split(key(0), 5)[3]))
    True
    """
    checked = as_key("fold_in", key)
    number = as_integer("fold_in", "data", data)
    if type(number) is int:
        if not 0 <= number < _UPPER:
            raise ArgumentError(f"fold_in: data must be from 0 to 2**32 - 1, got {number}.")
        number = WORD.type(number)
    if number.ndim:
        raise ShapeError(f"fold_in: data must be one integer, got an array of shape {number.shape}.")
    return _pair(bind(Threefry(()), checked, number.astype(WORD).astype(LONG)))


def bits(key: Any, shape: Any = (), dtype: Any = np.uint64) -> Any:
    """Random bits.

    Args:
        key: uint32 of shape (2,).
        shape: the shape of the result.
        dtype: uint8, uint16, uint32 or uint64.

    Returns:
        Integers of that dtype, every value equally likely.

    Raises:
        DtypeError, ShapeError: an argument is not what it should be.

    >>> bits(key(0), (2,), np.uint8).dtype
    dtype('uint8')
    """
    return raw_bits(as_key("bits", key), as_shape("bits", shape), unsigned_dtype("bits", dtype))


def raw_bits(key: Any, shape: Shape, dtype: DType) -> Any:
    """As `bits`, of arguments that have been checked: both words together, or their exclusive or cut to the dtype."""
    words = bind(Threefry(shape), key, _START)
    return words if dtype == LONG else ((words // _UPPER) ^ words).astype(dtype)


def _pair(words: Any) -> Any:
    """64-bit integers as two words along a new last axis."""
    return np.stack([(words // _UPPER).astype(WORD), words.astype(WORD)], axis=-1)
