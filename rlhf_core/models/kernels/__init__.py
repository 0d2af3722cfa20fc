"""Layers of a model in fewer passes over memory than PyTorch takes."""
