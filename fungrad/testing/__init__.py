"""Tools for testing functions, rules and programs."""
