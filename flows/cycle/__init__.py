"""Shared by all stages: the cycle, its line, candidates, judgements, the stage wrapper."""
