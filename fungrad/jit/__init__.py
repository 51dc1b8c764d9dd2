"""The compiler: Graph -> loop IR -> readable Python or one native function. Only `dispatcher` imports Numba."""
