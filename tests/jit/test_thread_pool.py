"""The pool by itself: which thread runs which rounds."""

import ctypes
import threading
import time

from fungrad.jit.thread_pool import SPIN, WAKE_WORK, address_of_run

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
