"""The stages of a cycle, one file each."""
