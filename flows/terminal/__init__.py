"""What commands print: screens, progress, rows as CSV, JSON or Parquet."""
