"""The chain rule for one variable: (h o g)'(x) = h'(g(x)) g'(x).

The exercise: the derivative of f(x) = (2x + 1)^2. Expanded it is 4x^2 + 4x + 1 with f' = 8x + 4; by the chain rule
2 (2x + 1) * 2, the same. `grad` applies the chain rule to the code itself.
"""

import numpy as np

from fungrad import grad


def g(x):
    return 2 * x + 1


def h(u):
    return u**2


def f(x):
    return h(g(x))


def quotient(f, x, e=1e-6):
    """The definition of the derivative, before the limit (central, which converges faster)."""
    return (f(x + e) - f(x - e)) / (2 * e)


def flat(x):
    """A function whose increments are all 0."""
    return 0 * x + 3.0


print("     x    8x + 4   h'(g)g'   grad(f)   quotient")
for x in (-2.0, -0.5, 0.0, 1.5):
    by_rule = grad(h)(g(x)) * grad(g)(x)
    print(f"{x:6.2f}  {8 * x + 4:8.4f}  {by_rule:8.4f}  {grad(f)(x):8.4f}  {quotient(f, x):9.4f}")
    assert grad(f)(x) == by_rule == 8 * x + 4
    assert np.isclose(quotient(f, x), 8 * x + 4)

# The usual short proof multiplies and divides by g(x + e) - g(x), which is 0 for this g. The rule holds all the same:
# write h(v) - h(u) = q(v) (v - u) with q continuous at u and q(u) = h'(u) (Caratheodory), and nothing is divided.
assert grad(lambda x: h(flat(x)))(1.0) == 0.0
print("\nconstant inner function: derivative", grad(lambda x: h(flat(x)))(1.0))
