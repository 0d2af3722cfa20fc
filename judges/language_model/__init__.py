"""Queries to local and remote language models, and the parsing of their replies."""
