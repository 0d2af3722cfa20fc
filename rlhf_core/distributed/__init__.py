"""Training on several ranks: collectives, sharding, and rank 0 leading the others."""
