# ruff: noqa: I001, F401
"""NumPy's names, for arrays and traced arrays alike.

Almost all are NumPy's own functions: they accept traced arrays through NumPy's dispatch protocols, so plain
`import numpy as np` works as well. The functions at the end cannot be reached that way and are ours. A test compares
what is listed here with what tracers know.
"""

# functions and ufuncs that accept traced arrays
from numpy import (
    abs as abs, absolute as absolute, acos as acos, acosh as acosh, add as add, all as all, allclose as allclose,
    amax as amax, amin as amin, any as any, append as append, apply_along_axis as apply_along_axis,
    arccos as arccos, arccosh as arccosh, arcsin as arcsin, arcsinh as arcsinh, arctan as arctan,
    arctan2 as arctan2, arctanh as arctanh, argmax as argmax, argmin as argmin, argpartition as argpartition,
    argsort as argsort, argwhere as argwhere, around as around, array_equal as array_equal,
    array_split as array_split, asin as asin, asinh as asinh, astype as astype, atan as atan, atan2 as atan2,
    atanh as atanh, atleast_1d as atleast_1d, atleast_2d as atleast_2d, atleast_3d as atleast_3d,
    average as average, bincount as bincount, bitwise_and as bitwise_and, bitwise_invert as bitwise_invert,
    bitwise_left_shift as bitwise_left_shift, bitwise_not as bitwise_not, bitwise_or as bitwise_or,
    bitwise_right_shift as bitwise_right_shift, bitwise_xor as bitwise_xor, block as block,
    broadcast_arrays as broadcast_arrays, broadcast_to as broadcast_to, cbrt as cbrt, ceil as ceil,
    choose as choose, clip as clip, column_stack as column_stack, compress as compress, concat as concat,
    concatenate as concatenate, conj as conj, conjugate as conjugate, convolve as convolve, copy as copy,
    copysign as copysign, corrcoef as corrcoef, correlate as correlate, cos as cos, cosh as cosh,
    count_nonzero as count_nonzero, cov as cov, cross as cross, cumprod as cumprod, cumsum as cumsum,
    cumulative_prod as cumulative_prod, cumulative_sum as cumulative_sum, deg2rad as deg2rad, degrees as degrees,
    delete as delete, diag as diag, diagflat as diagflat, diagonal as diagonal, diff as diff, digitize as digitize,
    divide as divide, divmod as divmod, dot as dot, dsplit as dsplit, dstack as dstack, ediff1d as ediff1d,
    einsum as einsum, empty_like as empty_like, equal as equal, exp as exp, exp2 as exp2,
    expand_dims as expand_dims, expm1 as expm1, extract as extract, fabs as fabs, fix as fix,
    flatnonzero as flatnonzero, flip as flip, fliplr as fliplr, flipud as flipud, float_power as float_power,
    floor as floor, floor_divide as floor_divide, fmax as fmax, fmin as fmin, fmod as fmod, full_like as full_like,
    geomspace as geomspace, gradient as gradient, greater as greater, greater_equal as greater_equal,
    heaviside as heaviside, hsplit as hsplit, hstack as hstack, hypot as hypot, imag as imag, inner as inner,
    insert as insert, interp as interp, invert as invert, isclose as isclose, iscomplex as iscomplex,
    iscomplexobj as iscomplexobj, isfinite as isfinite, isinf as isinf, isnan as isnan, isneginf as isneginf,
    isposinf as isposinf, isreal as isreal, isrealobj as isrealobj, kron as kron, ldexp as ldexp,
    left_shift as left_shift, less as less, less_equal as less_equal, linspace as linspace, log as log,
    log10 as log10, log1p as log1p, log2 as log2, logaddexp as logaddexp, logaddexp2 as logaddexp2,
    logical_and as logical_and, logical_not as logical_not, logical_or as logical_or, logical_xor as logical_xor,
    logspace as logspace, matmul as matmul, matrix_transpose as matrix_transpose, matvec as matvec, max as max,
    maximum as maximum, mean as mean, median as median, meshgrid as meshgrid, min as min, minimum as minimum,
    mod as mod, modf as modf, moveaxis as moveaxis, multiply as multiply, nan_to_num as nan_to_num,
    nancumsum as nancumsum, nanmax as nanmax, nanmean as nanmean, nanmin as nanmin, nanprod as nanprod,
    nanstd as nanstd, nansum as nansum, nanvar as nanvar, ndim as ndim, negative as negative,
    nextafter as nextafter, nonzero as nonzero,
    not_equal as not_equal, ones_like as ones_like, outer as outer, pad as pad, partition as partition,
    percentile as percentile, permute_dims as permute_dims, piecewise as piecewise, polyval as polyval,
    positive as positive, pow as pow, power as power, prod as prod, ptp as ptp, quantile as quantile,
    rad2deg as rad2deg, radians as radians, ravel as ravel, real as real, real_if_close as real_if_close,
    reciprocal as reciprocal, remainder as remainder, repeat as repeat, reshape as reshape,
    result_type as result_type, right_shift as right_shift, rint as rint, roll as roll, rollaxis as rollaxis,
    rot90 as rot90, round as round, searchsorted as searchsorted, select as select, shape as shape, sign as sign,
    signbit as signbit, sin as sin, sinc as sinc, sinh as sinh, size as size, sort as sort, split as split,
    sqrt as sqrt, square as square, squeeze as squeeze, stack as stack, std as std, subtract as subtract,
    sum as sum, swapaxes as swapaxes, take_along_axis as take_along_axis, tan as tan, tanh as tanh,
    tensordot as tensordot, tile as tile, trace as trace, transpose as transpose, trapezoid as trapezoid,
    tril as tril, triu as triu, true_divide as true_divide, trunc as trunc, unstack as unstack, unwrap as unwrap,
    vander as vander, var as var, vdot as vdot, vecdot as vecdot, vecmat as vecmat, vsplit as vsplit,
    vstack as vstack, where as where, zeros_like as zeros_like,
)  # fmt: skip

# constants, dtypes, and functions that make plain arrays
from numpy import (
    arange as arange, bool as bool, bool_ as bool_, dtype as dtype, e as e, empty as empty, errstate as errstate,
    euler_gamma as euler_gamma, eye as eye, finfo as finfo, float32 as float32, float64 as float64,
    floating as floating, generic as generic, identity as identity, iinfo as iinfo, indices as indices, inf as inf,
    int16 as int16, int32 as int32, int64 as int64, int8 as int8, integer as integer, intp as intp,
    issubdtype as issubdtype, ix_ as ix_, linalg as linalg, nan as nan, ndarray as ndarray, ndindex as ndindex,
    newaxis as newaxis, number as number, ones as ones, pi as pi, tri as tri, uint16 as uint16, uint32 as uint32,
    uint64 as uint64, uint8 as uint8, zeros as zeros,
)  # fmt: skip

from fungrad.numpy import protocols as _protocols  # makes Tracer an array
from fungrad.numpy.creation import array as array
from fungrad.numpy.creation import asarray as asarray
from fungrad.numpy.creation import full as full
from fungrad.numpy.sorting import take as take
from fungrad.numpy.updates import at as at
