"""Measurement of judges on labelled answers, and attacks on judges."""
