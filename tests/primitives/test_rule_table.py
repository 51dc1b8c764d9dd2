"""The page of primitives and rules is what the code says."""

from pathlib import Path

from tests.primitives.rule_table import page

PAGE = Path(__file__).parents[2] / "docs" / "primitives.md"


def test_page_is_up_to_date():
    written = PAGE.read_text()
    assert page() == written, "run: python -m tests.primitives.rule_table > docs/primitives.md"
