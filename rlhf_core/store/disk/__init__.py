"""The store as one file: its lock, its connections, its spool."""
