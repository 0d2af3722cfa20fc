"""The `solon` command, one file a command."""
