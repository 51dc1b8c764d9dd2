"""A feed-forward network is a composition of layers, and backpropagation one recursion over them.

z0 = x    z_l = f_l(z_{l-1}) = relu(A_l^T z_{l-1} + b_l)    o = A_4^T z3 + b4

gradient of z_{l-1} = (Jacobian of f_l)^T gradient of z_l, and the same for the parameters of layer l
"""

import numpy as np

from fungrad import grad, make_graph, nn, vjp


def hidden(layer, z):
    A, b = layer
    return nn.relu(A.T @ z + b)


def output(layer, z):
    A, b = layer
    return A.T @ z + b  # logits: no activation


def loss(params, x, label):
    return nn.softmax_cross_entropy(nn.mlp(params, x), label)


params = nn.init_mlp(0, [5, 8, 7, 6, 3])
x, label = np.random.default_rng(1).normal(size=5), 2

# Unrolled, layer by layer, it is the library's mlp.
z1 = hidden(params[0], x)
z2 = hidden(params[1], z1)
z3 = hidden(params[2], z2)
o = output(params[3], z3)
assert np.allclose(o, nn.mlp(params, x))
print("logits", o.round(3))

# The general pass: forward, keeping each layer's pullback; then back from the loss.
z, pullbacks = x, []
for layer, f in zip(params, [hidden, hidden, hidden, output], strict=True):
    z, pullback = vjp(f, layer, z)
    pullbacks.append(pullback)
g = grad(lambda o: nn.softmax_cross_entropy(o, label))(z)
by_layers = []
for pullback in reversed(pullbacks):
    grad_layer, g = pullback(g)
    by_layers.insert(0, grad_layer)

by_grad = grad(loss)(params, x, label)
for (dA, db), (dA_grad, db_grad) in zip(by_layers, by_grad, strict=True):
    assert np.allclose(dA, dA_grad, rtol=1e-12)
    assert np.allclose(db, db_grad, rtol=1e-12)
print("the recursion over layers gives what grad gives, for", len(by_grad), "layers\n")
print("the network as fungrad sees it:\n")
print(make_graph(nn.mlp)(params, x))
