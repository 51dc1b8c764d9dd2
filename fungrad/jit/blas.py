"""Matrix products for compiled code: BLAS functions by address, from SciPy's Cython interface.

No GIL is needed to call them. Matrices are column-major for BLAS, so a row-major product C = A B is asked for as
C^T = B^T A^T, which needs no copies.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.machinery
import importlib.util
import os
import sys
from typing import Any

import numpy as np

from fungrad.ir.types import DType

SYMBOLS: dict[DType, str] = {np.dtype(np.float32): "sgemm", np.dtype(np.float64): "dgemm"}
MAX_EXTENT = 2**31 - 1  # BLAS counts in 32 bits


def address(function: str) -> int:
    """The address of a function of BLAS by its name, such as `dgemm`."""
    capsule = _cython_blas().__pyx_capi__[function]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return int(api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule)))


def _cython_blas() -> Any:
    """SciPy's module without the rest of `scipy.linalg`, whose import takes five times as long."""
    name = "scipy.linalg.cython_blas"
    if name not in sys.modules:
        package = importlib.util.find_spec("scipy")
        folders = (package and package.submodule_search_locations) or []
        spec = importlib.machinery.PathFinder.find_spec(name, [os.path.join(x, "linalg") for x in folders])
        if spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            sys.modules.pop(name, None)  # importing scipy.linalg finds it again and puts it in its place
            return module
    return importlib.import_module(name)
