"""The library: data, models, algorithms, evaluation and the store."""
