"""Language models: loading, chat templates, roles, heads, saving, merging."""
