"""Every mistake fungrad tells its users about: one class a mistake.

A message says what came, what was expected and what to write instead. Each class also inherits the built-in exception
that NumPy or Python raises for the same mistake, so that `except TypeError` keeps working.
"""

from __future__ import annotations

import numpy as np


class FungradError(Exception):
    """Base class of every error fungrad raises on purpose."""


class ConcretizationError(FungradError, TypeError):
    """A traced value was asked for something only a number can give: `float(t)`, `if t:`, `np.asarray(t)`."""


class LeakedTracerError(FungradError, RuntimeError):
    """A traced value was used after the function that traced it had returned."""


class NanError(FungradError, FloatingPointError):
    """A nan came up while `debug_nans` was on."""


class TreeError(FungradError, ValueError):
    """Two pytrees that should have the same structure have not, or a leaf is of a kind that cannot be traced."""


class DtypeError(FungradError, TypeError):
    """An array has a dtype that the operation, or fungrad as a whole, does not support."""


class ShapeError(FungradError, ValueError):
    """Shapes do not fit each other."""


class AxisError(FungradError, ValueError):
    """An axis is out of range for the array, or named twice."""


class ArgumentError(FungradError, TypeError):
    """An argument of a fungrad or NumPy function has a value that makes no sense there."""


class OutOfBoundsError(FungradError, IndexError):
    """An index lies outside the axis it selects from."""


class MutationError(FungradError, TypeError):
    """In-place assignment that tracing cannot follow."""


class UnsupportedError(FungradError, TypeError):
    """A NumPy function, or an option of one, that fungrad cannot trace."""


class NonScalarError(FungradError, TypeError):
    """`grad` was given a function whose result is not one real number."""


class NotDifferentiableError(FungradError, TypeError):
    """A derivative was asked with respect to something that has none, such as an integer."""


class StaticArgumentError(FungradError, TypeError):
    """An option of `jit` is wrong: a static argument is unhashable, or what is named does not exist."""


class NotPositiveDefiniteError(FungradError, np.linalg.LinAlgError):
    """A matrix without a Cholesky factor."""


class SingularMatrixError(FungradError, np.linalg.LinAlgError):
    """A linear system without a solution, or an inverse of a matrix that has none."""


class NoConvergenceError(FungradError, np.linalg.LinAlgError):
    """A matrix whose eigenvalues or singular values LAPACK did not find, such as one with nan."""


class MissingPackageError(FungradError, ImportError):
    """An optional package is needed that is not installed."""


class GraphError(FungradError, ValueError):
    """A graph breaks the rules of the IR; `verify` names the equation."""


class KernelError(FungradError, TypeError):
    """A kernel given to `njit_primitive` does not fit what it is called with or what is asked of it."""


class CompileError(FungradError, RuntimeError):
    """The compiler met something it should have refused earlier; please report it."""
