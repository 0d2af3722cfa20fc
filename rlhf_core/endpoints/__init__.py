"""Models behind OpenAI-compatible servers: requests, retries, rate limits, budgets."""
