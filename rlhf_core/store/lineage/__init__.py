"""Lineage: the facts that a fact came from, and those that came from it."""
