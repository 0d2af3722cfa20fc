"""The guard at work: in the training of a policy, before its promotion, and its held-out judge."""
