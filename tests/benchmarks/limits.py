"""What the machine can do: matrix products of BLAS and traffic to memory, without anything of ours around them.

python -m tests.benchmarks.limits
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np
from scipy.linalg import cython_blas

from tests.benchmarks import report
from tests.benchmarks.report import Options, progress, section, table
from tests.benchmarks.timing import Run, in_turns

ROOT = Path(__file__).parent.parent.parent
SIZE = 2048  # of the products that give the peak
COUNT = 10_000_000  # numbers of an array for the memory
THREADS = (1, 2)


def _address(function: str) -> int:
    """The address of a function of SciPy's BLAS."""
    capsule, api = cython_blas.__pyx_capi__[function], ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return int(api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule)))


_sgemm = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 13)(_address("sgemm"))


def blas_products(products: Sequence[tuple[int, int, int, bool, bool]]) -> Run:
    """These products of float32 matrices one after another, by SciPy's BLAS.

    Args:
        products: rows, columns, contracted extent, and whether the left and the right factor are read transposed.
    """
    alive: list[Any] = [np.array([1, 0], np.float32), np.frombuffer(b"NT", np.uint8)]
    one, letters = (x.ctypes.data for x in alive)
    rows = []
    for m, n, k, left, right in products:
        a, b = (np.ones(shape, np.float32) for shape in ((k, m) if left else (m, k), (n, k) if right else (k, n)))
        c = np.empty((m, n), np.float32)
        sizes = np.array([n, m, k, b.shape[1], a.shape[1], n], np.int32)
        alive += [a, b, c, sizes]
        s = [sizes.ctypes.data + 4 * i for i in range(6)]
        pointers = [x.ctypes.data for x in (b, a, c)]  # column-major: C^T = B^T A^T
        row = [letters + right, letters + left, *s[:3], one, pointers[0], s[3], pointers[1], s[4], one + 4, pointers[2]]
        rows.append([*row, s[5]])
    calls = np.array(rows, np.int64)

    def run(count: int) -> None:
        assert alive
        _run_products(calls, count)

    return run


@numba.njit(nogil=True)
def _run_products(calls: Any, count: int) -> None:
    for _ in range(count):
        for i in range(len(calls)):
            c = calls[i]
            _sgemm(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], c[11], c[12])


@numba.njit(nogil=True)
def _triad(a: Any, x: Any, y: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = a * x[i] + y[i]


def triad(threads: int, dtype: Any, count: int = COUNT) -> Run:
    """out = a x + y in place, on some threads: the traffic to memory of two arrays read and one written."""
    x, y, out = (np.ones(count, dtype) for _ in range(3))
    edges = [count * i // threads for i in range(threads + 1)]
    pieces = [(dtype(0.5), x[i:j], y[i:j], out[i:j]) for i, j in pairwise(edges)]
    pool = ThreadPoolExecutor(threads)

    def run(repetitions: int) -> None:
        for _ in range(repetitions):
            for done in [pool.submit(_triad, *piece) for piece in pieces]:
                done.result()

    return run


def _product_peak(options: Options) -> float:
    """GFLOP/s of large products in this process."""
    size = 512 if options.quick else SIZE
    time = in_turns({"": blas_products([(size, size, size, False, False)])}, options.quick, budget=3.0)[""]
    return 2 * size**3 / time / 1e9


def _peak_with(threads: int, options: Options) -> float:
    """The same in a fresh process whose BLAS has some threads."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", __spec__.name, "--peak", *(["--quick"] if options.quick else [])]
    return float(json.loads(subprocess.check_output(command, cwd=ROOT, env=environment)))


def main(options: Options) -> str:
    """The section of the page."""
    rows = []
    for threads in THREADS:
        peak = _peak_with(threads, options)
        traffic = []
        for dtype in (np.float32, np.float64):
            time = in_turns({"": triad(threads, dtype)}, options.quick, budget=2.0)[""]
            traffic.append(3 * COUNT * np.dtype(dtype).itemsize / time / 1e9)
        progress(f"{threads} threads: {peak:.0f} GFLOP/s, {traffic[0]:.1f} and {traffic[1]:.1f} GB/s")
        rows.append([str(threads), f"{peak:.0f} GFLOP/s", *(f"{x:.1f} GB/s" for x in traffic)])
    text = f"""
The largest speed of matrix products, {SIZE} x {SIZE} in float32 by SciPy's BLAS, and of traffic to
memory, by a loop `out = a * x + y` over arrays of {COUNT:,} numbers that counts two arrays read and one written."""
    head = ["threads", "matrix products", "memory, float32", "memory, float64"]
    return section("The machine's limits", text, table(head, rows))


if __name__ == "__main__":
    if "--peak" in sys.argv:
        print(_product_peak(Options(quick="--quick" in sys.argv)))
    else:
        report.run(main, __doc__)
