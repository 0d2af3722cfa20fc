"""When things run: flows, their stages, the command line and the pages."""
