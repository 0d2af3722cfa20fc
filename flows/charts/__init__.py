"""Charts from plain numbers, for reports and for the Prefect server's page."""
