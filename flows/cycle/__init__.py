"""What every stage shares: the cycle, its line, candidates, judgements, the stage wrapper."""
