"""Running for days: the schedule, the Prefect server, signals, crashed runs."""
