"""A Python function of the user's as a judge: finding, checking and calling it."""
