"""The primitives, one file a family, with all their mathematical rules together."""
