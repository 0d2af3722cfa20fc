"""The champion of a line: its history, rollbacks, approvals and its folder."""
