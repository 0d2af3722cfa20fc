"""Retention of files, backup and restore."""
