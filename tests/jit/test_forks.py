"""What is made once for the process is made once, also if several threads need it first at the same time."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fungrad.jit.forks import once

ROOT = Path(__file__).parents[2]


def test_threads_that_come_together_get_the_same():
    calls = []
    barrier = threading.Barrier(8)

    @once
    def make(x):
        calls.append(x)
        time.sleep(0.01)
        return [x]

    def together(x):
        barrier.wait()
        return make(x)

    with ThreadPoolExecutor(8) as pool:
        for x in range(5):
            found = list(pool.map(together, [x] * 8))
            assert all(y is found[0] for y in found)
    assert calls == [0, 1, 2, 3, 4]


FIRST = """
import sys, threading
import numpy as np
import fungrad as fg

sys.setswitchinterval(1e-6)
x = np.linspace(-1, 1, 50)
barrier, failed = threading.Barrier(8), []

def work(i):
    barrier.wait()
    for k in range(5):
        if not np.allclose(fg.jit(lambda x: np.sin(x) * (i + k))(x), np.sin(x) * (i + k)):
            failed.append(i)

threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failed
print("right")
"""


def test_eight_threads_compile_first():
    for _ in range(3):
        command = [sys.executable, "-c", FIRST]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.stdout.strip() == "right", done.stderr
