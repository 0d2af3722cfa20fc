"""Checking answers by program: mathematics, JSON schemas, unit tests in a sandbox."""
