"""docs/kinks.md against the code: every row of the table is evaluated."""

import ast
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from fungrad import grad, jit, nn

PAGE = Path(__file__).parents[1] / "docs" / "kinks.md"
NUMBERS = {"nan": math.nan, "inf": math.inf, "log": math.log}


def read_table():
    """(expression, names, values, derivatives) of each row."""
    rows = []
    for line in PAGE.read_text().splitlines():
        if line.startswith("| `"):
            expression, point, derivative = (cell.strip().strip("`") for cell in line.split(" | ")[:3])
            expression = expression.removeprefix("| `")
            call = ast.parse(f"dict({point})", mode="eval").body
            values = [eval(compile(ast.Expression(k.value), str(PAGE), "eval"), NUMBERS) for k in call.keywords]
            expected = eval(f"[{derivative}]", NUMBERS)
            rows.append((expression, [k.arg for k in call.keywords], values, expected))
    return rows


ROWS = read_table()


def test_the_table_was_read():
    assert len(ROWS) > 30
    assert all(len(names) == len(expected) for _, names, _, expected in ROWS)
    promised = ("nn.relu", "np.abs", "np.maximum", "np.linalg.norm", "x**y", "np.clip", "np.prod", "np.sqrt")
    assert all(any(name in row[0] for row in ROWS) for name in promised)


def gradient_of(row):
    expression, names, _, _ = row
    f = eval(f"lambda {', '.join(names)}: {expression}", {"np": np, "nn": nn, "special": special})
    return grad(f, argnums=tuple(range(len(names))))


def arguments(row, dtype):
    return [np.array(v, dtype)[()] for v in row[2]]


@pytest.fixture(scope="module")
def compiled():
    """The gradients of all rows from one compiled function, for each dtype."""
    gradients = [gradient_of(row) for row in ROWS]
    all_rows = jit(lambda points: [gradient(*point) for gradient, point in zip(gradients, points, strict=True)])
    return {dtype: all_rows([arguments(row, dtype) for row in ROWS]) for dtype in (np.float32, np.float64)}


@pytest.mark.parametrize("number", range(len(ROWS)), ids=[f"{row[0]} at {row[2]}" for row in ROWS])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_row(number, dtype, compiled):
    with np.errstate(all="ignore"):
        eager = gradient_of(ROWS[number])(*arguments(ROWS[number], dtype))
    for found in (eager, compiled[dtype][number]):
        for a, b in zip(found, ROWS[number][3], strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=4 * np.finfo(dtype).eps)


def test_the_advice_on_branches_works():
    def f(x):
        safe = np.where(x > 0, x, 1.0)
        return np.where(x > 0, np.sqrt(safe), 0.0)

    assert grad(f)(0.0) == 0
    assert grad(f)(4.0) == 0.25
