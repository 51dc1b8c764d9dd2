"""Checks of derivatives, batches and primitives, which fungrad's own suite uses, for your functions and primitives."""

from importlib import import_module
from types import ModuleType

from fungrad.testing.batching import check_batch as check_batch
from fungrad.testing.compositions import check_compositions as check_compositions
from fungrad.testing.functions import check_grads as check_grads
from fungrad.testing.functions import check_jvp as check_jvp
from fungrad.testing.functions import check_vjp as check_vjp
from fungrad.testing.primitive import check_primitive as check_primitive

_LATER = ("programs", "strategies")  # need Hypothesis


def __getattr__(name: str) -> ModuleType:
    if name in _LATER:
        return import_module(f"fungrad.testing.{name}")
    raise AttributeError(f"module 'fungrad.testing' has no attribute {name!r}")
