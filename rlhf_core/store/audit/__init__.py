"""What auditors ask: checks, pages, stories, named queries."""
