"""Short functions as NumPy users write them, with example inputs.

Nothing here knows of fungrad. A case that cannot be traced names the words its error message must contain, that is
the fix.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    fix: str | None = None  # what the error says, for a case that raises under grad
    jit_fix: str | None = None  # the same under jit, where values are unknown


CASES: dict[str, Case] = {}
RNG = np.random.default_rng(7)


def case(*inputs: Any, fix: str | None = None, jit_fix: str | None = None) -> Callable[[Any], Any]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        CASES[function.__name__] = Case(function, inputs, fix, jit_fix or fix)
        return function

    return register


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


def positive(*shape: int) -> Any:
    return RNG.uniform(0.3, 2.0, size=shape)


# -- elementwise and broadcasting ------------------------------------------------------------------------------------


@case(normal(5))
def sine_wave(x):
    return 3 * np.sin(2 * np.pi * x + 0.5)


@case(normal(4), normal(3))
def broadcast_table(x, y):
    return x[:, None] * y[None, :] + x[:, np.newaxis] / (1 + y**2)


@case(normal(3, 4))
def standardize(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


@case(normal(3, 4))
def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@case(normal(3, 4))
def log_softmax(x):
    return x - np.logaddexp.reduce(x, axis=1, keepdims=True)


@case(normal(6))
def logsumexp(x):
    m = np.max(x)
    return m + np.log(np.sum(np.exp(x - m)))


@case(normal(5))
def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


@case(normal(5))
def stable_sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


@case(normal(5))
def softplus(x):
    return np.logaddexp(0, x)


@case(normal(6))
def relu(x):
    return np.maximum(x, 0)


@case(normal(6))
def leaky_relu(x):
    return np.where(x > 0, x, 0.01 * x)


@case(normal(6))
def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@case(normal(6))
def gelu_erf(x):
    from scipy.special import erf

    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


@case(normal(6))
def mish(x):
    return x * np.tanh(np.log1p(np.exp(x)))


@case(normal(5), normal(5))
def huber(x, y):
    d = np.abs(x - y)
    return np.where(d <= 1.0, 0.5 * d**2, d - 0.5)


@case(normal(8))
def clip_to_unit(x):
    return np.clip(x, -1, 1) ** 2


@case(normal(8))
def clip_method_one_sided(x):
    return x.clip(min=0.1).sum()


@case(positive(5))
def roots_and_powers(x):
    return np.sqrt(x) + x**0.5 + x**-1 + x**2.5 + 2**x + np.cbrt(x) + np.float_power(x, 3)


@case(positive(5))
def logs(x):
    return np.log(x) + np.log2(x) + np.log10(x) + np.log1p(x) + np.expm1(x) + np.exp2(x)


@case(RNG.uniform(-0.8, 0.8, 5))
def inverse_trig(x):
    return np.arcsin(x) + np.arccos(x) + np.arctan(x) + np.arctanh(x) + np.arcsinh(x) + np.arccosh(1.5 + x)


@case(normal(4), normal(4))
def polar(x, y):
    return np.hypot(x, y) * np.arctan2(y, x) + np.rad2deg(x) / 100 + np.deg2rad(y)


@case(normal(6))
def signs_and_rounding(x):
    return x * np.sign(x) + np.floor(x) * x + np.round(x, 1) + x % 1.0 + np.heaviside(x, 0.5)


@case(normal(5), normal(5))
def min_max_mix(x, y):
    return np.maximum(x, y) - np.minimum(x, 2 * y) + np.fmax(x, 0.1)


@case(normal(4))
def sinc_sum(x):
    return np.sinc(x).sum()


@case(normal(4))
def power_of_python_scalars(x):
    a = 3
    b = 0.5
    return (a * x + b) ** 2 / a - x // 1


@case(1.3)
def scalar_function(x):
    y = x
    for _ in range(5):
        y = math.pi * np.sin(y) + x**3 / (1 + y**2)
    return y


@case(0.7)
def branch_on_value(x):
    if x > 0.5:
        return x**2
    return -x


CASES["branch_on_value"] = CASES["branch_on_value"]._replace(jit_fix="np.where")


@case(2.0)
def newton_sqrt(x):
    guess = x
    for _ in range(6):
        guess = 0.5 * (guess + x / guess)
    return guess


@case(normal(4).astype(np.float32))
def float32_stays(x):
    return (2 * x + 0.5) * np.float32(3) - np.exp(x) / 2


# -- reductions ------------------------------------------------------------------------------------------------------


@case(normal(3, 4))
def sum_of_methods(x):
    return x.sum() + x.mean(axis=1).sum() + x.max() - x.min(axis=0).sum() + x.prod() + x.var() + x.std()


@case(normal(3, 4))
def ufunc_reduce(x):
    return np.add.reduce(x, axis=1) + np.multiply.reduce(x, axis=1) + np.maximum.reduce(x, axis=1)


@case(normal(3, 4))
def frobenius(x):
    return np.linalg.norm(x) + np.linalg.norm(x, axis=1).sum() + np.linalg.norm(x[0], 1) + np.linalg.norm(x[1], np.inf)


@case(normal(5, 3))
def normalize_rows(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@case(normal(6))
def cumulative(x):
    return np.cumsum(x) * np.arange(6) + np.cumsum(x[::-1])[::-1]


@case(positive(5))
def cumulative_product(x):
    return np.cumprod(x)


@case(normal(6))
def running_maximum(x):
    return np.maximum.accumulate(x)


@case(normal(4, 5))
def ptp_and_average(x):
    return np.ptp(x, axis=0) + np.average(x, axis=0, weights=[1, 2, 3, 4])


@case(normal(7))
def median_and_quantile(x):
    return np.median(x) + np.quantile(x, 0.3) + np.percentile(x, [25, 75]).sum()


@case(np.array([1.0, np.nan, 3.0, -2.0]))
def nan_aware(x):
    return np.nanmean(x) + np.nansum(x) ** 2 + np.nanmax(x)


@case(normal(4, 6))
def covariance(x):
    return np.cov(x) + 0.1 * np.corrcoef(x)


@case(normal(5))
def count_positive(x):
    return np.count_nonzero(x > 0) * x.sum() + np.sum(x > 0) * x[0] + np.mean(x > 0.2) * x[1]


@case(normal(5))
def pick_by_argmax(x):
    return x[np.argmax(x)] ** 2 + x[x.argmin()]


# -- products --------------------------------------------------------------------------------------------------------


@case(normal(5, 3), normal(3, 4), normal(4))
def dense_layer(x, w, b):
    return np.tanh(x @ w + b)


@case(normal(3, 4), normal(4, 4), normal(4, 2))
def mlp(x, w1, w2):
    h = np.maximum(0, x.dot(w1))
    return np.mean((h @ w2) ** 2)


@case(normal(4), normal(4))
def dots(x, y):
    return np.dot(x, y) + np.inner(x, y) + np.vdot(x, y) + x @ y + np.outer(x, y).sum()


@case(normal(2, 3, 4), normal(2, 4, 5))
def batched_matmul(a, b):
    return np.matmul(a, b)


@case(normal(3, 4), normal(2, 4, 5))
def matmul_broadcast(a, b):
    return a @ b


@case(normal(3, 4), normal(4, 5), normal(5))
def einsum_chain(a, b, c):
    return np.einsum("ij,jk,k->i", a, b, c)


@case(normal(3, 3), normal(2, 3))
def einsum_idioms(a, b):
    return (
        np.einsum("ii", a)
        + np.einsum("ij->j", a).sum()
        + np.einsum("bi,ij,bj->b", b, a, b).sum()
        + np.einsum("ij,ij", a, a)
    )


@case(normal(2, 3, 4), normal(4, 3))
def einsum_ellipsis(x, y):
    return np.einsum("...ij,ji->...i", x, y) + np.einsum("...i->...", x)[..., :3]


@case(normal(2, 3, 4), normal(4, 3, 2))
def tensor_contraction(x, y):
    return np.tensordot(x, y, axes=([1, 2], [1, 0])) + np.tensordot(x, y, axes=1)[:, 0, 0, :]


@case(normal(2, 3), normal(3, 2))
def kronecker(x, y):
    return np.kron(x, y)


@case(normal(4, 3), normal(4, 3))
def cross_products(x, y):
    return np.cross(x, y)


@case(normal(4, 4))
def trace_and_diagonals(x):
    return np.trace(x) + np.diag(x).sum() + np.diagonal(x, 1) @ np.ones(3) + np.tril(x).sum() - np.triu(x, 1).sum()


@case(normal(4, 4))
def quadratic_form(a):
    x = np.array([1.0, 2.0, 3.0, 4.0])
    return x @ (a + a.T) @ x / 2


@case(normal(3))
def rotation(angles):
    c, s = np.cos(angles[0]), np.sin(angles[0])
    return np.stack([np.stack([c, -s]), np.stack([s, c])]) @ angles[1:]


# -- geometry and statistics -----------------------------------------------------------------------------------------


@case(normal(4, 3), normal(5, 3))
def pairwise_distances(x, y):
    return np.sqrt(((x[:, None, :] - y[None, :, :]) ** 2).sum(-1))


@case(normal(4, 3))
def squared_distances_by_gram(x):
    n = np.sum(x**2, axis=1)
    return n[:, None] + n[None, :] - 2 * x @ x.T


@case(normal(4, 2), positive(2))
def rbf_kernel(x, scale):
    d = (x[:, None] - x[None]) / scale
    return np.exp(-0.5 * np.sum(d * d, axis=-1))


@case(normal(5), 0.3, 1.2)
def gaussian_log_pdf(x, mu, sigma):
    return np.sum(-0.5 * ((x - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi))


@case(normal(4, 3))
def cross_entropy_with_labels(logits):
    labels = np.array([0, 2, 1, 2])
    z = logits - logits.max(1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    return -log_p[np.arange(len(labels)), labels].mean()


@case(normal(4, 3))
def cross_entropy_one_hot(logits):
    one_hot = np.eye(3)[[0, 2, 1, 2]]
    p = np.exp(logits) / np.exp(logits).sum(axis=1)[:, None]
    return -(one_hot * np.log(p)).sum() / logits.shape[0]


@case(normal(6), normal(6))
def pearson_correlation(x, y):
    xm, ym = x - np.mean(x), y - np.mean(y)
    return (xm * ym).sum() / np.sqrt((xm**2).sum() * (ym**2).sum())


@case(normal(4, 3))
def cosine_similarity(x):
    u = x / np.sqrt(np.sum(np.square(x), axis=-1, keepdims=True))
    return u @ u.T


# -- sequences -------------------------------------------------------------------------------------------------------


@case(normal(8))
def moving_average(x):
    return np.convolve(x, np.ones(3) / 3, mode="valid")


@case(normal(8))
def moving_average_by_cumsum(x):
    c = np.cumsum(np.concatenate([[0.0], x]))
    return (c[3:] - c[:-3]) / 3


@case(normal(7), normal(3))
def convolutions(x, k):
    return np.convolve(x, k, "same") + np.correlate(x, k, "same")


@case(normal(8))
def finite_differences(x):
    return np.diff(x, n=2) + np.gradient(x, 0.1)[1:-1]


@case(normal(9))
def integrate(y):
    return np.trapezoid(y, np.linspace(0, 1, 9)) + np.trapezoid(y, dx=0.5)


@case(normal(4))
def polynomial(c):
    x = np.linspace(-1, 1, 5)
    return np.polyval(c, x) + np.vander(x, 4) @ c


@case(np.array([0.3, 2.9, 1.2, 1.7, 3.4]), normal(4))
def interpolate(x, y):
    return np.interp(x, np.arange(4.0), y)


@case(normal(6))
def autoregression(x):
    return np.sum((x[1:] - 0.9 * x[:-1]) ** 2) + np.roll(x, 2) @ x


@case(normal(3, 4))
def rnn(w):
    h = np.zeros(3)
    for t in range(4):
        h = np.tanh(w[:, t] + 0.5 * h)
    return h


# -- indexing and shapes ---------------------------------------------------------------------------------------------


@case(normal(4, 5))
def slices(x):
    return x[1:3, ::-2] * x[0, 0] + x[-2:, :3] + x[..., -1][:2, None]


@case(normal(4, 5))
def fancy_indexing(x):
    rows = np.array([0, 2, 2])
    return x[rows][:, [1, 3]] + x[rows, [4, 0, 1]][:, None] + x[np.ix_([0, 1, 2], [2, 3])]


@case(normal(6))
def boolean_mask(x):
    mask = np.array([True, False, True, True, False, True])
    return x[mask] ** 2


@case(normal(6), jit_fix="np.where")
def mask_by_value(x):
    return x[x > 0].sum()


@case(normal(5, 3))
def embedding_lookup(table):
    tokens = np.array([[0, 4], [2, 2]])
    return np.take(table, tokens, axis=0).mean(axis=1) + table[tokens].sum(axis=1)


@case(normal(3, 4))
def take_along(x):
    order = np.array([[3, 0], [1, 1], [2, 0]])
    return np.take_along_axis(x, order, axis=1)


@case(normal(3, 4))
def sorting(x):
    return np.sort(x, axis=1) * np.arange(4) + x[:, np.argsort(np.arange(4)[::-1])]


@case(normal(2, 3, 4))
def reshapes(x):
    y = x.reshape(6, -1).T
    return (
        y.ravel()[::2] + x.transpose(2, 0, 1).reshape(-1)[1::2] + x.flatten()[:12] + np.swapaxes(x, 0, 2).ravel()[:12]
    )


@case(normal(3), normal(3))
def joins(x, y):
    a = np.concatenate([x, y])
    b = np.vstack([x, y]).T.ravel() + np.hstack((x, y))
    return a * b + np.column_stack([x, y]).ravel() + np.append(x, y)


@case(normal(6))
def splits(x):
    a, b, c = np.split(x, 3)
    first, *rest = x
    return a * b + c * first + rest[0]


@case(normal(2, 3))
def repeats(x):
    return np.tile(x, (2, 2)) + np.repeat(np.repeat(x, 2, axis=0), 2, axis=1)


@case(normal(3, 4))
def padding(x):
    return (
        np.pad(x, 1)[1:, :][:3, :4]
        + np.pad(x, ((1, 1), (0, 0)), mode="edge")[2:]
        + np.pad(x, 1, mode="reflect")[:3, :4]
    )


@case(normal(3, 4))
def flips_and_moves(x):
    return np.flip(x, 1) + np.fliplr(x) + np.moveaxis(x[None], 0, -1)[..., 0] + np.rot90(x, 2) + np.squeeze(x[:, None])


@case(normal(4))
def select_by_conditions(x):
    return np.select([x < -0.5, x < 0.5], [x**2, 2 * x], default=np.cos(x))


@case(normal(5), jit_fix="np.where")
def piecewise_function(x):
    return np.piecewise(x, [x < 0, x >= 0], [lambda v: -v, lambda v: np.sqrt(v)])


@case(normal(3), normal(4))
def grids(x, y):
    a, b = np.meshgrid(x, y)
    return a * b + np.add.outer(y, x) + np.multiply.outer(y, x)


@case(normal(4))
def vector_to_matrix(x):
    return (
        np.diag(x) + np.ones_like(x)[:, None] * x + np.full_like(x, 2.0) + np.zeros((4, 4)) + np.broadcast_to(x, (4, 4))
    )


# -- assignment ------------------------------------------------------------------------------------------------------


@case(normal(5))
def fill_zeros_like(x):
    y = np.zeros_like(x)
    y[0] = x[0]
    for i in range(1, 5):
        y[i] = 0.5 * y[i - 1] + x[i]
    return y


@case(normal(3, 4))
def in_place_rows(x):
    y = x * 1.0
    y[0] += 1
    y[1] *= y[0]
    row = y[2]
    row -= y[1]
    return y


@case(normal(4))
def in_place_accumulate(x):
    total = np.zeros_like(x)
    for k in range(3):
        total += x**k
    total /= 3
    return total


@case(normal(4))
def in_place_masked(x):
    y = x.copy()
    y[x < 0] = 0
    return y * x


CASES["in_place_masked"] = CASES["in_place_masked"]._replace(jit_fix="np.where")


@case(normal(4), fix="fungrad.numpy.at")
def add_at(x):
    y = np.zeros_like(x)
    np.add.at(y, [0, 0, 1], x[:3])
    return y


@case(normal(4), fix="np.zeros_like")
def plain_buffer(x):
    y = np.zeros(4)
    for i in range(4):
        y[i] = x[i] ** 2
    return y


@case(normal(4), fix="fungrad.numpy.array")
def array_of_traced(x):
    return np.array([x[0], x[1] * x[2]])


@case(normal(4), fix="np.sin")
def math_function(x):
    return math.sin(x[0])


@case(normal(4), fix="np.exp")
def out_argument(x):
    return np.exp(x, out=np.empty(4))
