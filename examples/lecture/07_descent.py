"""Gradient descent against stochastic gradient descent, on linear regression.

Gradient descent takes one step for each pass over the data, along the mean of all gradients; stochastic gradient
descent takes one step for each example. After as many passes, and as many gradients, the second is much further.
"""

import numpy as np

from fungrad import nn, optim, tree, value_and_grad
from fungrad.train import fit

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 3))
truth = np.array([[1.0], [-2.0], [0.5]])
Y = X @ truth + 0.3 + 0.05 * rng.normal(size=(200, 1))


def model(params, x):
    return nn.linear(x, *params)


def loss(params, x, y):
    return np.mean(nn.squared_error(model(params, x), y))


start = (np.zeros((3, 1)), np.zeros(1))

# The gradient of the mean is the mean of the gradients of the examples.
_, whole = value_and_grad(loss)(start, X, Y)
single = [value_and_grad(loss)(start, X[i : i + 1], Y[i : i + 1])[1] for i in range(len(X))]
mean = tree.map(lambda *gs: np.mean(gs, axis=0), *single)
assert all(np.allclose(a, b) for a, b in zip(whole, mean, strict=True))

# One step by hand: params <- params - rate * gradient.
rate = 0.02
by_hand = tree.map(lambda p, g: p - rate * g, start, whole)
one = fit(model, nn.squared_error, start, (X, Y), optimizer=optim.sgd(rate), epochs=1, batch_size=None)
assert all(np.allclose(a, b, rtol=1e-12) for a, b in zip(by_hand, one.params, strict=True))

print("passes        gradient descent   batches of 20   one example a step")
final = {}
for passes in (1, 5, 20):
    for size in (None, 20, 1):
        found = fit(
            model, nn.squared_error, start, (X, Y), optimizer=optim.sgd(rate), epochs=passes, batch_size=size, seed=0
        )
        final[passes, size] = float(loss(found.params, X, Y))
    print(f"{passes:6d}   loss {final[passes, None]:15.5f} {final[passes, 20]:15.5f} {final[passes, 1]:15.5f}")
assert final[1, 1] < final[1, 20] < final[1, None]
assert final[20, 1] < 0.01 < final[20, None]
