"""Primitives that contain graphs: loops, branches, and functions with derivative rules of their own."""
