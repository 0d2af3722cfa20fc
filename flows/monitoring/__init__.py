"""Monitoring of lines: the checks of `solon doctor`, figures for Prometheus."""
