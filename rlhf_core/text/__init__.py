"""Sentences, overlap with a reference, and answers that decline."""
