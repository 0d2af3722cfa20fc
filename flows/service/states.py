"""Names of states in which a flow run ends without a failure, although not all is done."""

BUDGET_SPENT = "BudgetSpent"
NOT_DUE = "NotDue"
"""A trigger started the run, and another run has done the work meanwhile."""
WAITING = "Waiting"
"""The stage before has not ended."""
EARLY_ENDS = (BUDGET_SPENT, NOT_DUE, WAITING)
