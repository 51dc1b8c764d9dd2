"""Gradients of plain NumPy code, transformed to any depth and compiled into loops."""

from importlib import import_module
from types import ModuleType

from fungrad import jit as _jit_package  # noqa: F401  the package must be loaded before the function takes its name
from fungrad import numpy as numpy
from fungrad import tree as tree
from fungrad.api import grad as grad
from fungrad.api import make_graph as make_graph
from fungrad.api import stop_gradient as stop_gradient
from fungrad.api import value_and_grad as value_and_grad
from fungrad.api import vjp as vjp
from fungrad.compilation import log_compiles as log_compiles
from fungrad.custom import checkpoint as checkpoint
from fungrad.custom import custom_jvp as custom_jvp
from fungrad.custom import custom_vjp as custom_vjp
from fungrad.custom import remat as remat
from fungrad.forward import jvp as jvp
from fungrad.forward import linear_transpose as linear_transpose
from fungrad.forward import linearize as linearize
from fungrad.jacobians import hessian as hessian
from fungrad.jacobians import hvp as hvp
from fungrad.jacobians import jacfwd as jacfwd
from fungrad.jacobians import jacobian as jacobian
from fungrad.jacobians import jacrev as jacrev
from fungrad.jitted import jit as jit
from fungrad.modes import checking_leaks as checking_leaks
from fungrad.modes import debug_nans as debug_nans
from fungrad.modes import disable_jit as disable_jit
from fungrad.vmapped import vmap as vmap

__version__ = "0.1.0"

_LATER = ("cache", "debug", "extend", "lax", "nn", "optim", "random", "testing", "train")  # loaded when first used


def __getattr__(name: str) -> ModuleType:
    if name in _LATER:
        return import_module(f"fungrad.{name}")
    raise AttributeError(f"module 'fungrad' has no attribute {name!r}")
