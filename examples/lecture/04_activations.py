"""Activation functions and their derivatives, as formulas and by `grad`.

python examples/lecture/04_activations.py --output activations.png     draws them as well
"""

import argparse

import numpy as np

from fungrad import grad, nn

FORMULAS = {  # name: (function, derivative by the textbook)
    "relu": (nn.relu, lambda x: 1.0 if x >= 0 else 0.0),
    "elu": (nn.elu, lambda x: 1.0 if x >= 0 else np.exp(x)),
    "tanh": (nn.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": (nn.sigmoid, lambda x: nn.sigmoid(x) * (1 - nn.sigmoid(x))),
}


def draw(path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    x = np.linspace(-4, 4, 401)
    figure, axes = pyplot.subplots(1, len(FORMULAS), figsize=(12, 3), layout="constrained")
    for (name, (f, _)), axis in zip(FORMULAS.items(), axes, strict=True):
        axis.plot(x, f(x), label=name)
        axis.plot(x, grad(lambda x, f=f: np.sum(f(x)))(x), "--", label="derivative")
        axis.legend()
    figure.savefig(path)
    print("drawn in", path)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--output", help="where to write a PNG (needs matplotlib)")
output = parser.parse_args().output

print("     x " + "".join(f"{name:>9s}{name + chr(39):>10s}" for name in FORMULAS))
for x in (-20.0, -2.0, -0.5, 0.0, 0.5, 2.0, 20.0):
    row = f"{x:6.1f} "
    for f, derivative in FORMULAS.values():
        found = grad(f)(x)
        assert np.isclose(found, derivative(x), rtol=1e-12, atol=1e-16)
        row += f"{float(f(x)):9.4f}{float(found):10.2e}"
    print(row)

# The textbook forms overflow or give nan far from 0; these do not.
for f, _ in FORMULAS.values():
    for x in (-1e4, 1e4):
        assert np.isfinite(f(x))
        assert np.isfinite(grad(f)(x))
print("all finite at +-10000")

# The sigmoid lies between 0 and 1, and relu takes the derivative 1 at 0, where it has none.
assert 0 < nn.sigmoid(-30.0) < 0.5 < nn.sigmoid(30.0) < 1
assert grad(nn.relu)(0.0) == 1.0
if output:
    draw(output)
