"""Numbers of the branches of a row that several answers share; answers count from 1."""

PROMPT_BRANCH = 0
PADDING_BRANCH = -1
