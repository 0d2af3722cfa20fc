"""What is computed: records, store, models, algorithms, evaluation. Knows nothing of Prefect."""
