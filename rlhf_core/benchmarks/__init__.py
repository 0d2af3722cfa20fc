"""Public benchmarks of models: bias by log-probabilities, and tasks of lm-evaluation-harness."""
