"""The compiler: Graph -> loop IR -> readable Python or one native function. Numba is imported at the first compile."""
