"""Pages and their figures."""
