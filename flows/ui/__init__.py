"""The audit page: pairs, lineage, SQL, spot checks, in a browser. Shows the store, never trains."""
