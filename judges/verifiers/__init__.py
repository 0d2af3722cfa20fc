"""Checks of answers by program: mathematics, JSON schemas, and unit tests in a sandbox."""
