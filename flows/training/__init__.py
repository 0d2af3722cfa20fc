"""Shared by the training stages: texts, rankings, rewards, lineage."""
