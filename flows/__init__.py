"""The service: flows and their stages, the command line and the pages."""
