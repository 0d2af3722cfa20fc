"""Prompts: reading, cleaning, masking, deleting."""
