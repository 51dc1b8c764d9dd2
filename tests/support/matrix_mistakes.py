"""Mistakes that people make in the VJP rules of matrix primitives: name -> (primitive, operands, wrong rule)."""

import numpy as np

from fungrad.primitives.determinants import Cofactors, Det, LogDet
from fungrad.primitives.linalg import Cholesky, Inverse, Solve, TriangularSolve

A = np.array([[2.0, 0.3, -0.4], [0.5, 1.7, 0.2], [-0.1, 0.6, 2.2]])
B = np.array([[1.2, 0.5], [0.6, -1.4], [-0.8, 0.9]])
inv = np.linalg.inv


def _cholesky(ct, out, symmetric):
    inner = np.tril(out.T @ ct)
    inner -= np.diag(np.diag(inner)) / 2
    full = inv(out).T @ (inner + inner.T) @ inv(out)
    return full / 2 if symmetric else np.tril(full)


VJP_MISTAKES = {
    "cholesky: as if the upper triangle were read": (
        Cholesky(),
        [A],
        lambda ct, xs, out: [_cholesky(ct, out, symmetric=True)],
    ),
    "cholesky: the diagonal counted twice": (
        Cholesky(),
        [A],
        lambda ct, xs, out: [_cholesky(ct, out, symmetric=False)],
    ),
    "inverse: not transposed": (Inverse(), [A], lambda ct, xs, out: [-out @ ct @ out]),
    "inverse: sign": (Inverse(), [A], lambda ct, xs, out: [out.T @ ct @ out.T]),
    "solve: matrix not transposed": (
        Solve(),
        [A, B],
        lambda ct, xs, out: [-inv(xs[0]) @ ct @ out.T, inv(xs[0]) @ ct],
    ),
    "solve: outer product the other way round": (
        Solve(),
        [A, B],
        lambda ct, xs, out: [-out @ (inv(xs[0]).T @ ct).T, inv(xs[0]).T @ ct],
    ),
    "triangular_solve: the whole matrix gets a cotangent": (
        TriangularSolve(lower=True),
        [A, B],
        lambda ct, xs, out: [-inv(np.tril(xs[0])).T @ ct @ out.T, inv(np.tril(xs[0])).T @ ct],
    ),
    "triangular_solve: the unit diagonal gets a cotangent": (
        TriangularSolve(lower=False, transposed=True, unit_diagonal=True),
        [A, B],
        lambda ct, xs, out: [
            -np.triu(out @ (inv(np.triu(xs[0], 1) + np.eye(3)) @ ct).T),
            inv(np.triu(xs[0], 1) + np.eye(3)) @ ct,
        ],
    ),
    "det: not transposed": (Det(), [A], lambda ct, xs, out: [ct * out * inv(xs[0])]),
    "cofactors: as the inverse": (Cofactors(), [A], lambda ct, xs, out: [-inv(xs[0]) @ ct.T @ out]),
    "cofactors: cotangent not transposed": (
        Cofactors(),
        [A],
        lambda ct, xs, out: [np.sum(ct * out) * inv(xs[0]).T - out @ ct @ inv(xs[0]).T],
    ),
    "logdet: the sign gets a share": (LogDet(), [A], lambda ct, xs, out: [(ct[0] + ct[1]) * inv(xs[0]).T]),
    "logdet: as det": (LogDet(), [A], lambda ct, xs, out: [ct[1] * np.linalg.det(xs[0]) * inv(xs[0]).T]),
}
