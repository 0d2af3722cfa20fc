"""Output of commands: screens, progress, rows as CSV, JSON or Parquet."""
