"""What the parts of the report share: their options, and tables in Markdown.

A part is a module with a `main` that returns its section of the page. Run as a program it prints the section, and its
progress on the error stream.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple


class Options(NamedTuple):
    """What of a part is run, and how thoroughly."""

    case: str = ""  # only cases with this text in their names
    quick: bool = False  # few repetitions: shows that it works, not how fast it is

    def wants(self, name: str) -> bool:
        """Whether a case is to be run."""
        return self.case.lower() in name.lower()

    def rounds(self, thorough: int, quick: int = 1) -> int:
        """How often to repeat something."""
        return quick if self.quick else thorough


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every part."""
    parser.add_argument("--case", default="", metavar="TEXT", help="only cases whose names contain this")
    parser.add_argument("--quick", action="store_true", help="few repetitions, for a look at whether everything runs")


def run(main: Callable[[Options], str], description: str | None) -> None:
    """A part as a program."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    given = parser.parse_args()
    print(main(Options(given.case, given.quick)))


def progress(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of text, or "" if there are none."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines])


def section(title: str, text: str, *tables: str) -> str:
    """A heading, what the figures are, and the figures; "" if there are none."""
    tables = tuple(x for x in tables if x)
    return "\n\n".join([f"## {title}", text.strip(), *tables]) + "\n" if tables else ""


def seconds(value: float) -> str:
    """A time to three digits in a unit that fits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{_digits(value / size)} {unit}"
    return f"{value * 1e9:.0f} ns"


def ratio(value: float) -> str:
    """Two digits after the point, or one of a large one."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
