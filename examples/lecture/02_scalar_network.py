"""A network of three scalar weights, its gradient by hand and by `grad`.

    z1 = (a1 x)^2    z2 = (a2 z1)^2    o = a3 z2    L = (o - y)^2

Backwards, each line uses the one above it:

    dL/do  = 2 (o - y)
    dL/da3 = dL/do z2            dL/dz2 = dL/do a3
    dL/da2 = dL/dz2 2 a2 z1 z1   dL/dz1 = dL/dz2 2 a2 z1 a2
    dL/da1 = dL/dz1 2 a1 x x
"""

from fungrad import grad, jit, value_and_grad


def loss(weights, x, y):
    a1, a2, a3 = weights
    z1 = (a1 * x) ** 2
    z2 = (a2 * z1) ** 2
    o = a3 * z2
    return (o - y) ** 2


def gradient_by_hand(weights, x, y):
    a1, a2, a3 = weights
    z1 = (a1 * x) ** 2
    z2 = (a2 * z1) ** 2
    o = a3 * z2
    do = 2 * (o - y)
    dz2 = do * a3
    dz1 = dz2 * 2 * a2 * z1 * a2
    return dz1 * 2 * a1 * x * x, dz2 * 2 * a2 * z1 * z1, do * z2


weights, x, y = (0.5, 3.0, -1.0), 2.0, 1.0
golden = (1440.0, 120.0, -180.0)

print("L =", loss(weights, x, y))
ways = {
    "by hand": gradient_by_hand,
    "grad(loss)": grad(loss),
    "jit(grad(loss))": jit(grad(loss)),
    "grad(jit(loss))": grad(jit(loss)),
}
for name, gradient in ways.items():
    found = tuple(float(g) for g in gradient(weights, x, y))
    print(f"{name:16s} dL/da = {found}")
    assert found == golden
assert loss(weights, x, y) == 100.0

# One step of gradient descent, a_i <- a_i - rate dL/da_i, lowers the loss.
value, gradient = value_and_grad(loss)(weights, x, y)
stepped = tuple(a - 1e-4 * da for a, da in zip(weights, gradient, strict=True))
print(f"one step with rate 1e-4: L = {value:.2f} -> {loss(stepped, x, y):.2f}")
assert loss(stepped, x, y) < value
