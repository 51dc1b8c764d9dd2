"""Examples of all primitives with several results."""

from tests.support.factorizations import FACTORIZATIONS
from tests.support.regions import REGIONS

SEVERAL_RESULTS = {**REGIONS, **FACTORIZATIONS}
"""From a name and a float dtype to examples, each a primitive that says how its operands are drawn."""
