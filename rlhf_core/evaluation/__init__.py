"""Evaluation of policies against baselines, and of judges against labels and people."""
