"""Whether a policy is better, and how far judges can be trusted."""
