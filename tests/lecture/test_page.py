"""docs/lecture.md names a home for every row and states every correction; what it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = [line for line in (ROOT / "docs" / "lecture.md").read_text().splitlines() if line.startswith("| ")]
CELLS = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in LINES]
ROWS = {cells[0]: cells for cells in CELLS if len(cells) == 5 and cells[0] != "row"}
CORRECTIONS = {cells[0].split()[0]: cells for cells in CELLS if len(cells) == 4 and cells[0] != "no."}
TESTS = "".join(path.read_text() for path in (ROOT / "tests" / "lecture").glob("test_*.py"))


def test_no_row_is_missing():
    assert list(ROWS) == [*(f"S{i}" for i in range(1, 42)), "X"]
    assert list(CORRECTIONS) == [f"E{i}" for i in range(1, 34)]


@pytest.mark.parametrize("row", ROWS)
def test_home_exists(row):
    _, _, code, example, tests = ROWS[row]
    paths = re.findall(r"`([^`]+)`", f"{code} {example}")
    assert len(paths) >= 2
    assert all((ROOT / path).is_file() for path in paths)
    names = re.findall(r"`([^`]+)`", tests)
    assert names
    assert all(f"def {name}(" in TESTS for name in names)
    assert all(f"_{row.lower()}_" in name for name in names)


def test_every_script_is_named():
    named = {path for cells in ROWS.values() for path in re.findall(r"`(examples/[^`]+)`", cells[3])}
    scripts = {str(path.relative_to(ROOT)) for path in (ROOT / "examples").rglob("*.py")}
    assert {s for s in scripts if s.startswith("examples/lecture/")} <= named


@pytest.mark.parametrize("number", CORRECTIONS)
def test_corrections_are_stated(number):
    _, where, printed, holds = CORRECTIONS[number]
    assert where
    assert printed
    assert holds
    assert printed != holds
