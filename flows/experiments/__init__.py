"""Seed experiments: small trainings that test a claim of a paper, each ending in a page."""
