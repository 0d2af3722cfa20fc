"""Training of judges: `encoder` for models on labelled pairs, `jury` for jurors' reliability."""
