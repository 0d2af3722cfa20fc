"""What is computed: data, models, algorithms, evaluation and the store."""
