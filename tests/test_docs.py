"""The examples in the README, the docs and the docstrings are programs, and print what they claim."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import fungrad

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = sorted(m.name for m in pkgutil.walk_packages(fungrad.__path__, "fungrad."))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page):
    failures, _ = doctest.testfile(str(page), module_relative=False)
    assert failures == 0


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    failures, _ = doctest.testmod(module, extraglobs={"np": np, "fg": fungrad})
    assert failures == 0


def test_links_lead_somewhere():
    import re

    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
