"""Conditions that start work by themselves: their values, their events, and the check of them."""
