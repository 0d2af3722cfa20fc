"""Judges that are trained."""
