"""The base classes of judges, their registry, and the panel that runs several over one prompt."""
