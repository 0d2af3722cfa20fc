"""The training algorithms: SFT, reward model, PPO, RLOO, DPO, best of n."""
