"""The most memory that training takes, each in a fresh process.

python -m tests.benchmarks.memory
"""

from __future__ import annotations

import statistics
import tempfile

from tests.benchmarks import report
from tests.benchmarks.fresh import fresh
from tests.benchmarks.perceptron import NETWORKS
from tests.benchmarks.report import Options, progress, ratio, section, table

STEPS = 50


def main(options: Options) -> str:
    """The section of the page."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        kinds = (
            ("fungrad", {"FUNGRAD_CACHE": "0"}),
            ("fungrad", {"FUNGRAD_CACHE": "1", "FUNGRAD_CACHE_DIR": folder + "/cache"}),
            ("JAX", {}),
        )
        for name in filter(options.wants, NETWORKS):
            fresh(*kinds[1][:1], name, **kinds[1][1])  # fills the cache
            cold, warm, theirs = (
                statistics.median(fresh(library, name, STEPS, **settings).peak for _ in range(options.rounds(3)))
                / 2**20
                for library, settings in kinds
            )
            progress(f"{name:30} {cold:.0f} MB, from the cache {warm:.0f} MB, JAX {theirs:.0f} MB")
            rows.append([name, f"{cold:.0f} MB", f"{warm:.0f} MB", f"{theirs:.0f} MB", ratio(theirs / cold)])
    text = f"""
The largest resident memory of a fresh process that runs {STEPS} steps, interpreter and imports included."""
    head = ["network", "fungrad, compiling", "fungrad, from the disk cache", "JAX", "JAX / fungrad"]
    return section("Memory", text, table(head, rows))


if __name__ == "__main__":
    report.run(main, __doc__)
