"""Queries of auditors: checks, pages, stories, named queries."""
