"""What a fact stands on, and what rests on it."""
