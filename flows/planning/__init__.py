"""The plan of a run: the missing work, its time and its cost."""
