"""Encoders that compare two texts: loading, training, calibration."""
