"""The loops of `fungrad.lax` as loops in Python, to compare with."""

import numpy as np

import fungrad as fg


def python_scan(f, init, xs=None, length=None, reverse=False, unroll=1):
    rows = fg.tree.leaves(xs)
    count = rows[0].shape[0] if rows else length
    carry, ys = init, [None] * count
    for i in reversed(range(count)) if reverse else range(count):
        carry, ys[i] = f(carry, fg.tree.map(lambda x, i=i: x[i], xs))
    return carry, fg.tree.map(lambda *parts: np.stack(parts), *ys) if count else None


def python_while(cond_fun, body_fun, value):
    while cond_fun(value):
        value = body_fun(value)
    return value


def python_fori(lower, upper, body_fun, value):
    for i in range(lower, upper):
        value = body_fun(i, value)
    return value
