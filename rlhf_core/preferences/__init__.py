"""From judgements to rankings, labelled pairs and spot checks."""
