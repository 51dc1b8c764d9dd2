"""Train and Evaluate: keep the parameters that were best on the validation set, and stop when it no longer improves.

As printed, the algorithm sets the score to the best instead of the best to the score, and keeps a reference to the
parameters instead of a copy; either way the parameters of the last epoch come back. `fit` does it right.
"""

import numpy as np

from fungrad import nn, optim
from fungrad.train import accuracy, evaluate, fit


def spirals(count, rng, noise):
    """Two classes of points on interleaved spiral arms."""
    label = rng.integers(0, 2, count)
    turn = rng.uniform(0.2, 1.0, count)
    angle = 2.5 * np.pi * turn + np.pi * label
    points = turn[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return 3 * points + noise * rng.normal(size=(count, 2)), label


def returned_epoch(scores, remember_best, copy):
    """The loop over epochs with these validation scores. The 'parameters' are the number of the epoch."""
    theta, best, kept = np.zeros(1), -np.inf, None
    for epoch, score in enumerate(scores, start=1):
        theta[0] = epoch  # in place, as an optimizer may update
        if score > best:
            kept = theta.copy() if copy else theta
            if remember_best:
                best = score  # as printed: score = best
    return int(kept[0])


# Epoch 2 is the best of three; only the corrected algorithm returns it.
assert returned_epoch([0.5, 0.9, 0.7], remember_best=False, copy=True) == 3
assert returned_epoch([0.5, 0.9, 0.7], remember_best=True, copy=False) == 3
assert returned_epoch([0.5, 0.9, 0.7], remember_best=True, copy=True) == 2

rng = np.random.default_rng(0)
training, validation, test = (spirals(n, rng, noise=0.15) for n in (300, 150, 300))
start = nn.init_mlp(1, [2, 32, 32, 2])

seen = []  # (score, parameters) of each epoch
result = fit(
    nn.mlp,
    nn.softmax_cross_entropy,
    start,
    training,
    optimizer=optim.sgd(0.05, momentum=0.9),
    epochs=200,
    batch_size=20,
    validation=validation,
    patience=15,
    log=lambda line: print(line) if "*" in line else None,  # only the epochs that improved
    callback=lambda epoch, params: seen.append(epoch.score),
)
print(f"stopped: {result.stopped}; best epoch {result.best_epoch} of {len(result.history)}")

best = max(seen)
assert result.best_epoch == 1 + seen.index(best) < len(seen)
assert evaluate(nn.mlp, result.params, validation) == best

# Accuracy is one metric of many: any function of all outputs and labels.
cross_entropy = evaluate(
    nn.mlp, result.params, test, metric=lambda out, y: np.mean(nn.softmax_cross_entropy(out, y)), batch_size=64
)
score = evaluate(nn.mlp, result.params, test, metric=accuracy)
print(f"test accuracy {score:.3f}, cross-entropy {cross_entropy:.3f}")
assert score > 0.9
