"""Every example runs as a user runs it: in a process of its own, from another directory."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "examples" / "lecture").glob("*.py"))


def run(script, directory, *arguments):
    # one BLAS thread: tests run side by side, and threads that wait for each other's cores take many times longer
    settings = {"PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(directory), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", str(script), *map(str, arguments)],
        cwd=directory,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_scripts():
    assert len(SCRIPTS) >= 9


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.stem)
def test_lecture_script(script, tmp_path):
    assert len(run(script, tmp_path).splitlines()) >= 3  # it shows something, and its own assertions hold


def test_activations_are_drawn(tmp_path):
    run(ROOT / "examples" / "lecture" / "04_activations.py", tmp_path, "--output", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("seed", [0, 1])
def test_digits(seed, tmp_path):
    output = tmp_path / "picture.png"
    shown = run(ROOT / "examples" / "digits.py", tmp_path, "--seed", seed, "--output", output)
    assert output.read_bytes()[:4] == b"\x89PNG"
    assert str(output) in shown
    assert len(re.findall(r"^epoch ", shown, re.MULTILINE)) == 20
    assert float(re.search(r"test accuracy ([\d.]+) %", shown)[1]) >= 97.0
    assert re.search(r"\d+ us a step", shown)


def test_digits_refuses_what_makes_no_sense(tmp_path):
    with pytest.raises(AssertionError, match="epochs must be a positive int"):
        run(ROOT / "examples" / "digits.py", tmp_path, "--epochs", 0)
