"""When things run: Prefect flows, the command line, the report. No maths."""
