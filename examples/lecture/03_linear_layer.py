"""The linear layer: its Jacobians written out, and the products that never write them out.

For z = A x with A of n rows and m columns, and L a function of z with gradient g:

    J_x z = A                     grad_x L = A^T g
    J_A z = I_n (x) x^T           grad_A L = g x^T        (vec(A) row by row: n x nm)

The other way of writing the layer is z = A^T x + b with A of shape (n_in, n_out), one row of X an example: Z = X A + b.
"""

import numpy as np

from fungrad import grad, vjp
from fungrad.errors import NonScalarError
from fungrad.nn import linear, linear_ax


def jacobian(f, x):
    """Row j is the gradient of output j: one pullback of a basis vector for each."""
    out, pullback = vjp(f, x)
    rows = [pullback(e)[0].ravel() for e in np.eye(out.size)]
    return np.stack(rows)


rng = np.random.default_rng(0)
n, m = 2, 3
A, x, g = rng.normal(size=(n, m)), rng.normal(size=m), rng.normal(size=n)

print("the dot product a.x has gradient a:", grad(lambda x: np.dot(A[0], x))(x))
assert np.array_equal(grad(lambda x: np.dot(A[0], x))(x), A[0])

print("\nJ_x z = A; dz/dx_j is column j\n", jacobian(lambda x: linear_ax(x, A), x))
assert np.allclose(jacobian(lambda x: linear_ax(x, A), x), A)

J_A = jacobian(lambda A: linear_ax(x, A), A)
print("\nJ_A z = I (x) x^T, shape", J_A.shape, "\n", J_A.round(3))
assert np.allclose(J_A, np.kron(np.eye(n), x))

# What backpropagation computes instead: the transposed Jacobian applied to g.
_, pullback = vjp(lambda A, x: linear_ax(x, A), A, x)
grad_A, grad_x = pullback(g)
print("\n(J_A z)^T g = vec(g x^T):\n", grad_A.round(3))
assert np.allclose(J_A.T @ g, grad_A.ravel())
assert np.allclose(grad_A, np.outer(g, x))
assert np.allclose(grad_x, A.T @ g)

# A vector has no gradient; the sum of its entries has, A^T 1.
try:
    grad(lambda x: A @ x)(x)
except NonScalarError as error:
    print("\ngrad of A x:", error)
else:
    raise AssertionError("grad must refuse a vector")
assert np.allclose(grad(lambda x: np.sum(A @ x))(x), A.T @ np.ones(n))

# The second convention, over a batch of four rows, with cotangent G of Z = X A + b.
X, B, b = rng.normal(size=(4, m)), rng.normal(size=(m, n)), rng.normal(size=n)
G = rng.normal(size=(4, n))
_, pullback = vjp(linear, X, B, b)
grad_X, grad_B, grad_b = pullback(G)
assert np.allclose(grad_X, G @ B.T)
assert np.allclose(grad_B, X.T @ G)
assert np.allclose(grad_b, G.sum(axis=0))
_, pullback = vjp(linear_ax, X, B.T, b)
assert np.allclose(pullback(G)[1], G.T @ X)
print("\nbatches: grad_A = X^T G, grad_X = G A^T, grad_b = sum of the rows of G")
