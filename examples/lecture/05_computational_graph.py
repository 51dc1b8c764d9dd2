"""The computational graph: a small engine made of nodes, and the graph that fungrad traces of the same program.

A node knows its value, the nodes it was computed from, the function that computes their gradients from its own, and,
after `backward`, its gradient. A parameter is a node whose value stays from one step to the next.
"""

import numpy as np

from fungrad import grad, make_graph


class ComputationalGraphNode:
    def __init__(self, value, input_nodes=(), grad_operation=None):
        self.value = np.asarray(value, dtype=float)
        self.gradient = np.zeros_like(self.value)
        self.input_nodes = input_nodes
        self.grad_operation = grad_operation  # (input nodes, gradient of this node) -> gradients of the inputs


class ParameterNode(ComputationalGraphNode):
    """Its value persists, so its gradient must be reset before each backward pass."""

    def zero_grad(self):
        self.gradient = np.zeros_like(self.value)


# -- forward functions build the graph; each has its backward function beside it -------------------------------------


def linear(A, x):
    return ComputationalGraphNode(A.value @ x.value, (A, x), linear_gradient)


def linear_gradient(input_nodes, g):
    A, x = input_nodes
    return np.outer(g, x.value), A.value.T @ g


def tanh(u):
    return ComputationalGraphNode(np.tanh(u.value), (u,), tanh_gradient)


def tanh_gradient(input_nodes, g):
    (u,) = input_nodes
    return (g * (1 - np.tanh(u.value) ** 2),)


def squared_distance(o, y):
    return ComputationalGraphNode(np.sum((o.value - y.value) ** 2), (o, y), squared_distance_gradient)


def squared_distance_gradient(input_nodes, g):
    o, y = input_nodes
    return 2 * g * (o.value - y.value), -2 * g * (o.value - y.value)


def add(u, v):
    return ComputationalGraphNode(u.value + v.value, (u, v), lambda nodes, g: (g, g))


# -- backward ----------------------------------------------------------------------------------------------------------


def topological_order(last):
    """Every node once, inputs before what is computed from them; without recursion."""
    order, seen, stack = [], set(), [(last, False)]
    while stack:
        node, inputs_done = stack.pop()
        if inputs_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack += [(before, False) for before in node.input_nodes]
    return order


def backward(loss):
    """Fill in `gradient` of every node the loss depends on; returns how many backward functions ran."""
    loss.gradient = np.ones_like(loss.value)  # dL/dL
    calls = 0
    for node in reversed(topological_order(loss)):
        if node.grad_operation is None:  # a leaf
            continue
        calls += 1
        gradients = node.grad_operation(node.input_nodes, node.gradient)
        for before, gradient in zip(node.input_nodes, gradients, strict=True):
            before.gradient = before.gradient + gradient  # a node used twice has two shares
    return calls


def backward_as_printed(node, g):
    """The lecture's first version: store, and recurse along every edge. Wrong where a node is used twice."""
    node.gradient = g
    if node.grad_operation is None:
        return 1
    gradients = node.grad_operation(node.input_nodes, g)
    return 1 + sum(backward_as_printed(n, gn) for n, gn in zip(node.input_nodes, gradients, strict=True))


# -- one layer and a loss: nodes against fungrad ----------------------------------------------------------------------

rng = np.random.default_rng(0)
A, x, y = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=3)


def loss(A, x, y):
    return np.sum((np.tanh(A @ x) - y) ** 2)


parameter = ParameterNode(A)
for _ in range(2):  # twice: without zero_grad the second pass would add to the first
    parameter.zero_grad()
    last = squared_distance(tanh(linear(parameter, ComputationalGraphNode(x))), ComputationalGraphNode(y))
    backward(last)
assert np.isclose(last.value, loss(A, x, y))
assert np.allclose(parameter.gradient, grad(loss)(A, x, y), rtol=1e-12)
print("gradient of the nodes equals grad(loss). The graph fungrad traces:\n")
print(make_graph(loss)(A, x, y))

# -- fan-out: ten doublings --------------------------------------------------------------------------------------------


def doublings(z):
    for _ in range(10):
        z = z + z
    return z


def node_doublings():
    first = z = ParameterNode(1.0)
    for _ in range(10):
        z = add(z, z)
    return first, z


first, last = node_doublings()
calls = backward(last)
print(f"\nten doublings: gradient {first.gradient:g} with {calls} calls")
assert (float(first.gradient), calls) == (1024.0, 10)

first, last = node_doublings()
calls = backward_as_printed(last, 1.0)
print(f"as printed:    gradient {first.gradient:g} with {calls} calls")
assert (float(first.gradient), calls) == (1.0, 2047)

adjoint = make_graph(grad(doublings))(1.0)
print(f"fungrad:       gradient {grad(doublings)(1.0):g} with {len(adjoint.equations)} equations, forward and backward")
assert grad(doublings)(1.0) == 1024.0
assert len(adjoint.equations) <= 20
