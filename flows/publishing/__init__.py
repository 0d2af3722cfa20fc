"""Publication of champions: a model hub, MLflow, a vLLM server, a webhook."""
