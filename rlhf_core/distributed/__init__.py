"""Training on several ranks: collectives, sharding, rank 0 leading."""
