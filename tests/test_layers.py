"""The order of layers: no module imports from a later one; and what `import fungrad` loads."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "fungrad"

LAYERS = [
    ["cache", "compilation", "errors", "tree", "tree_code"],
    ["ir"],
    ["context", "trace", "evaluate", "effects", "large_results", "nans", "leaks"],
    ["primitives"],
    ["transforms"],
    ["passes"],
    ["regions"],
    ["jit"],
    ["numpy"],
    [
        *("arguments", "signature", "results", "axes", "api", "compile_reasons"),
        *("explain", "forward", "jitted", "modes", "vmapped"),
    ],
    ["lax", "jacobians"],
    ["custom"],
    ["debug", "extend", "nn", "optim", "random", "testing", "train"],
]
"""From the bottom up. A module may import from its own layer and from those before it."""

ORDER = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def layer_of(dotted):
    """The layer of `fungrad.<part>...`, or None outside fungrad and for fungrad itself."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "fungrad" and len(parts) > 1 else None


def imports(path):
    """Every fungrad layer a file imports from, with the line; also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            layer = layer_of(name)
            if layer is not None:
                yield layer, node.lineno


def test_every_module_has_a_layer():
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()} == set(ORDER)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for layer, line in imports(path):
        assert layer in ORDER, f"{path.name}:{line} imports fungrad.{layer}, which has no layer"
        assert ORDER[layer] <= ORDER[own], f"{path.name}:{line}: {own} must not import {layer}"


def test_the_engines_know_no_primitive_by_name():
    """A transformation imports the contract and the makers of constants, nothing of a family."""
    for path in (PACKAGE / "transforms").glob("*.py"):
        text = path.read_text()
        for family in ("elementwise", "shape", "reduce", "contract", "index", "sort"):
            assert f"fungrad.primitives.{family}" not in text, f"{path.name} imports the family {family}"


def run(code):
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "PYTHONHASHSEED": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_and_grad_load_neither_numba_nor_scipy():
    heavy = "[m for m in ('numba', 'llvmlite', 'scipy', 'matplotlib', 'sklearn') if m in sys.modules]"
    assert run(f"import sys, fungrad; print({heavy})") == "[]"
    assert run(f"import sys, fungrad as fg; fg.grad(lambda x: x * x)(1.0); print({heavy})") == "[]"
