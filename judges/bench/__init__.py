"""Judges measured on labelled answers, and attacks on them."""
