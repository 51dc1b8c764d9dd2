"""Mistakes that people make in the VJP rules of matrix primitives: name -> (primitive, operands, wrong rule)."""

import numpy as np

from fungrad.primitives.determinants import Cofactors, Det, LogDet
from fungrad.primitives.factorizations import Eigh, PseudoInverse, Qr, Svd
from fungrad.primitives.linalg import Cholesky, Inverse, Solve, TriangularSolve

A = np.array([[2.0, 0.3, -0.4], [0.5, 1.7, 0.2], [-0.1, 0.6, 2.2]])
B = np.array([[1.2, 0.5], [0.6, -1.4], [-0.8, 0.9]])
inv = np.linalg.inv


def _cholesky(ct, out, symmetric):
    inner = np.tril(out.T @ ct)
    inner -= np.diag(np.diag(inner)) / 2
    full = inv(out).T @ (inner + inner.T) @ inv(out)
    return full / 2 if symmetric else np.tril(full)


def _gaps(x):
    gaps = x[None, :] - x[:, None]
    return (1 - np.eye(len(x))) / (gaps + np.eye(len(x)))


def _eigh(ct, out, gaps, symmetric):
    (w, v), (ct_w, ct_v) = out, ct
    full = v @ (np.diag(ct_w) + gaps(w) * (v.T @ ct_v)) @ v.T
    full = full + full.T
    return full / 2 if symmetric else np.tril(full) - np.diag(np.diag(full)) / 2


def _svd(ct, out, projected=True, gaps=lambda s: _gaps(s**2)):
    (u, s, vt), (ct_u, ct_s, ct_vt) = out, ct
    x, y = u.T @ ct_u, vt @ ct_vt.T
    inner = gaps(s) * (x - x.T) @ np.diag(s) + np.diag(ct_s) + np.diag(s) @ (gaps(s) * (y - y.T))
    return u @ inner @ vt + projected * ((ct_u - u @ x) / s) @ vt


def _qr(ct, out, mirrored):
    (q, r), (ct_q, ct_r) = out, ct
    m = r @ ct_r.T - ct_q.T @ q
    return (ct_q + q @ (np.tril(m) + mirrored * np.tril(m, -1).T)) @ inv(r).T


VJP_MISTAKES = {
    "eigh: as if the upper triangle were read": (
        Eigh(),
        [A],
        lambda ct, xs, out: [_eigh(ct, out, _gaps, symmetric=True)],
    ),
    "eigh: gaps the other way round": (
        Eigh(),
        [A],
        lambda ct, xs, out: [_eigh(ct, out, lambda w: -_gaps(w), symmetric=False)],
    ),
    "svd: without what leaves the columns of U": (Svd(), [B], lambda ct, xs, out: [_svd(ct, out, projected=False)]),
    "svd: gaps not squared": (Svd(), [B], lambda ct, xs, out: [_svd(ct, out, gaps=_gaps)]),
    "qr: not mirrored": (Qr(), [B], lambda ct, xs, out: [_qr(ct, out, mirrored=0)]),
    "pseudoinverse: as the inverse": (PseudoInverse(1e-6), [B], lambda ct, xs, out: [-out.T @ ct @ out.T]),
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
