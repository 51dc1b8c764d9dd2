"""Primitives of your own: by the contract of `Primitive`, or from an `@numba.njit` kernel with `njit_primitive`."""

from fungrad.extend.binding import array_type as array_type
from fungrad.extend.binding import bind as bind
from fungrad.extend.kernels import njit_primitive as njit_primitive
from fungrad.extend.lowering import lowering as lowering
from fungrad.ir.primitive import Primitive as Primitive
from fungrad.ir.types import ArrayType as ArrayType
from fungrad.primitives.linear import Linear as Linear
