"""Control flow that can be traced, differentiated and compiled, named as in JAX.

A loop or a branch becomes one primitive with graphs inside, so its size and compile time do not depend on how often it
runs.
"""

from fungrad.lax import linalg as linalg
from fungrad.lax.associative import associative_scan as associative_scan
from fungrad.lax.branches import cond as cond
from fungrad.lax.branches import switch as switch
from fungrad.lax.loops import fori_loop as fori_loop
from fungrad.lax.loops import map as map
from fungrad.lax.loops import scan as scan
from fungrad.lax.loops import while_loop as while_loop
