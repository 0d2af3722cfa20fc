"""Asking a language model for a verdict, local or remote, and reading its answer."""
