"""Heuristics for the step size: fixed, step decay, exponential decay, reduce on plateau.

A constant step leaves stochastic gradient descent wandering around the minimum; a step that falls lets it settle.
"""

import numpy as np

from fungrad import nn, optim
from fungrad.train import fit

rng = np.random.default_rng(0)
X = rng.normal(size=(256, 4))
Y = X @ rng.normal(size=(4, 1)) + 0.5 * rng.normal(size=(256, 1))
exact = np.linalg.lstsq(X, Y, rcond=None)[0]

epochs, batch = 30, 8
steps = len(X) // batch  # in an epoch; schedules count steps
rate = 0.05


def model(A, x):
    return nn.linear(x, A)


def excess(A):
    """How far the loss is above its minimum."""
    return float(np.mean((X @ A - Y) ** 2) - np.mean((X @ exact - Y) ** 2))


schedules = {
    "fixed": optim.constant(rate),
    "step decay": optim.step_decay(rate, factor=0.1, every=10 * steps),
    "exponential": optim.exponential_decay(rate, rate=0.2 / steps),
}
plateau = optim.reduce_on_plateau(factor=0.1, patience=3)

print("rate at epoch       1        11        21        30    loss above the minimum")
found = {}
for name, schedule in {**schedules, "on plateau": optim.constant(rate)}.items():
    result = fit(
        model,
        nn.squared_error,
        np.zeros((4, 1)),
        (X, Y),
        optimizer=optim.sgd(schedule),
        epochs=epochs,
        batch_size=batch,
        validation=(X, Y),
        metric=lambda out, y: np.mean((out - y) ** 2),
        higher_is_better=False,
        plateau=plateau if name == "on plateau" else None,
        callback=lambda epoch, A, name=name: found.__setitem__(name, excess(A)),
    )
    rates = [float(schedule((n - 1) * steps)) * result.history[n - 1].scale for n in (1, 11, 21, 30)]
    print(f"{name:12s} " + "".join(f"{r:10.2g}" for r in rates) + f"    {found[name]:.2e}")

assert all(found[name] < found["fixed"] / 5 for name in ("step decay", "exponential", "on plateau"))
