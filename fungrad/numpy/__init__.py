"""NumPy's names for arrays and traced arrays alike."""

from numpy import sin as sin

from fungrad.numpy import protocols as _protocols
from fungrad.numpy.indexing import at as at
