"""The training algorithms: SFT, reward model, PPO, RLOO, GRPO, DPO, best of n."""
