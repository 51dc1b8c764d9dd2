"""The transformations, one file each. No engine knows a primitive by name."""
