"""Handwritten digits: a multilayer perceptron trained on real images by compiled stochastic gradient descent.

The data are the 1,797 images of 8 x 8 pixels that scikit-learn ships. They are split into training, validation and test
sets; the training images are shown five times, once as they are and shifted by a pixel in each direction. The
parameters of the epoch with the lowest validation loss are kept and tested.

    python examples/digits.py                 prints where it saved the picture with loss curve and predictions
"""

import argparse
import time
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.datasets import load_digits

from fungrad import nn, optim
from fungrad.train import evaluate, fit

matplotlib.use("Agg")
from matplotlib import pyplot

SIZES = [64, 128, 64, 10]
BATCH = 64


def load(seed):
    """Training, validation and test set: 70, 10 and 20 per cent of the images, as float32 rows between 0 and 1."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    rows = (images[order] / 16).astype(np.float32)
    bounds = [0, len(rows) * 2 // 10, len(rows) * 3 // 10, len(rows)]
    test, validation, training = ((rows[start:stop], labels[order][start:stop]) for start, stop in pairwise(bounds))
    return training, validation, test


def with_shifts(x, y):
    """The images, and again moved by one pixel right, left, down and up."""
    padded = np.pad(x.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    offsets = [(1, 1), (1, 0), (1, 2), (0, 1), (2, 1)]
    moved = [padded[:, i : i + 8, j : j + 8].reshape(-1, 64) for i, j in offsets]
    return np.concatenate(moved), np.tile(y, len(offsets))


def mean_cross_entropy(logits, y):
    return float(np.mean(nn.softmax_cross_entropy(logits, y)))


def train(epochs, seed, progress=True):
    """Train; returns the result of `fit` and the test set."""
    training, validation, test = load(seed)

    def report(epoch, params):
        share = evaluate(nn.mlp, params, validation)
        print(
            f"epoch {epoch.number:2d}  training loss {epoch.loss:.4f}  validation loss {epoch.score:.4f}"
            f"{'*' if epoch.best else ' '} accuracy {100 * share:5.1f} %  {epoch.seconds:.2f} s"
        )

    result = fit(
        nn.mlp,
        nn.softmax_cross_entropy,
        nn.init_mlp(seed, SIZES, dtype=np.float32),
        with_shifts(*training),
        optimizer=optim.sgd(optim.exponential_decay(0.1, rate=1e-3), momentum=0.9, weight_decay=1e-4),
        epochs=epochs,
        batch_size=BATCH,
        validation=validation,
        metric=mean_cross_entropy,
        higher_is_better=False,
        seed=seed,
        progress=progress,
        callback=report,
    )
    return result, test


def draw(result, test, path):
    """The loss curves, and the first test images with what the network sees in them; mistakes in red."""
    figure = pyplot.figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.2))
    axis = left.subplots()
    numbers = [epoch.number for epoch in result.history]
    axis.plot(numbers, [epoch.loss for epoch in result.history], label="training")
    axis.plot(numbers, [epoch.score for epoch in result.history], label="validation")
    axis.axvline(result.best_epoch, color="grey", linestyle=":", label="best epoch")
    axis.set(xlabel="epoch", ylabel="cross-entropy", yscale="log")
    axis.legend()

    x, y = test
    guesses = np.argmax(nn.mlp(result.params, x), axis=-1)
    order = np.argsort(guesses == y, kind="stable")[:32]  # mistakes first
    for axis, i in zip(right.subplots(4, 8).flat, order, strict=False):
        axis.imshow(x[i].reshape(8, 8), cmap="gray_r")
        axis.set_title(f"{guesses[i]}", color="black" if guesses[i] == y[i] else "red", fontsize=9)
        axis.axis("off")
    right.suptitle("predictions, mistakes first, in red")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the split, the start and the order of the images")
    parser.add_argument("--output", type=Path, default=Path("digits.png"), help="where to save the picture")
    options = parser.parse_args(arguments)

    began = time.perf_counter()
    result, test = train(options.epochs, options.seed)
    share = evaluate(nn.mlp, result.params, test)
    settled = result.history[1:] or result.history  # the first epoch includes compilation
    step = np.median([epoch.seconds / epoch.steps for epoch in settled])
    print(f"test accuracy {100 * share:.2f} % with the parameters of epoch {result.best_epoch}")
    print(f"{1e6 * step:.0f} us a step of {BATCH} images; {time.perf_counter() - began:.1f} s in all")
    draw(result, test, options.output)
    print(f"loss curve and predictions: {options.output.resolve()}")
    return share


if __name__ == "__main__":
    main()
