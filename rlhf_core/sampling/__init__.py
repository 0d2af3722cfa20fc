"""Sampling answers with their log-probabilities."""
