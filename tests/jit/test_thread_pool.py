"""The pool by itself: which thread runs which rounds."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fungrad.jit.thread_pool import SPIN, WAKE_WORK, address_of_run

ROOT = Path(__file__).parents[2]
ROUND = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)
ASLEEP = 5e-9 * SPIN  # seconds after which workers sleep for sure
AWAKE = 0.6e-9 * SPIN  # seconds after which a worker that was woken is there, and still waits for rounds


def pool_run():
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 5)(address_of_run())


def rounds_of_threads(count, work=10 * WAKE_WORK, threads=2, seconds=1e-3):
    """The numbers of the rounds each thread has run, in order, if they take some time; the caller's are the first."""
    taken = {threading.get_ident(): []}

    def run(_, index):
        taken.setdefault(threading.get_ident(), []).append(index)
        time.sleep(seconds)

    pool_run()(ctypes.cast(ROUND(run), ctypes.c_void_p).value, 0, count, work, threads)
    return list(taken.values())


def test_each_round_runs_once():
    for threads in (1, 2, 3, 8):
        for count in (1, 2, 3, 7, 40):
            assert sorted(i for taken in rounds_of_threads(count, threads=threads) for i in taken) == [*range(count)]


def test_the_caller_takes_the_first_rounds_and_a_worker_the_last():
    for _ in range(100):
        caller, *workers = rounds_of_threads(6)
        assert caller == [*range(len(caller))]
        if workers:
            assert workers == [[*range(5, len(caller) - 1, -1)]]
            return
    raise AssertionError("no worker ran a round")


def test_a_worker_that_comes_too_late_is_there_for_the_next_rounds():
    """As a rule: something else may keep the cores busy for a while."""
    quick = ctypes.cast(ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value

    def is_there():
        time.sleep(ASLEEP)
        pool_run()(quick, 0, 2, 2 * WAKE_WORK, 2)
        since = time.perf_counter()
        while time.perf_counter() < since + AWAKE:
            pass
        return len(rounds_of_threads(2, work=0)) == 2

    for _ in range(200):
        if sum(is_there() for _ in range(20)) >= 15:
            return
    raise AssertionError("workers that are woken go to sleep again")


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
def test_workers_that_may_not_help_sleep():
    """After a call with eight threads, calls with two use two: the other six take no time of a core."""
    rounds_of_threads(8, threads=8)
    time.sleep(ASLEEP)
    names = os.listdir("/proc/self/task")
    before = {name: _ticks(name) for name in names}
    since = time.perf_counter()
    while time.perf_counter() < since + 0.5:
        rounds_of_threads(20, threads=2, seconds=2e-3)
    spent = sorted(_ticks(name) - before[name] for name in names)
    assert sum(spent[:-2]) <= 15, spent


def _ticks(name):
    """Hundredths of a second of processor time."""
    fields = Path(f"/proc/self/task/{name}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


CHOSEN = """
import os, time
import numpy as np
import fungrad as fg

def tasks():
    return [int(t) for t in os.listdir("/proc/self/task")]

f = fg.jit(lambda x: np.tanh(np.sin(x) * np.exp(-x * x)), threads=2)
x = np.ones(500_000)
cores = os.sched_getaffinity(0)
for core in sorted(cores):
    for t in tasks():
        os.sched_setaffinity(t, cores)
    for _ in range(20):
        f(x)
    time.sleep(0.05)
    for t in tasks():
        os.sched_setaffinity(t, {core})
    for _ in range(20):
        f(x)
    time.sleep(0.05)
    assert all(os.sched_getaffinity(t) <= {core} for t in tasks())
print("kept")
"""


@linux
def test_workers_stay_on_the_cores_chosen_for_the_process():
    done = subprocess.run(
        [sys.executable, "-c", CHOSEN], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "kept", done.stderr
