"""The store as a lake that several machines share."""
