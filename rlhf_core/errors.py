"""Every error Solon raises on purpose, in one tree.

SolonError
├── InputError            the user can mend it; the command line exits with 2
│   ├── ConfigError         a key, a value or a combination in the config
│   ├── DataFileError       a file of prompts or labels, with its line
│   ├── RecordError         rows that are not the records they are said to be
│   ├── ModelNotFoundError  a model that is not where its name says
│   ├── QueryError          SQL that the audit refuses or cannot run
│   ├── IdError             an id that nothing in the store has, or several things
│   └── UnknownUserError    a user of whom the store has no prompt
├── StoreError            the store cannot be used as it is
│   ├── StoreBusyError      another process held the lock for too long
│   └── SchemaError         written by a newer version, or migrated by other hands
├── ShapeError            tensors that would broadcast instead of matching
├── SilentJudgeError      a judge without a readable answer to too many questions
├── TrainingError         a run that cannot go on (no data, loss not finite)
├── LostProcessError      of several processes that work as one, another ended
└── EndpointError         a remote model did not answer usefully
    ├── BudgetError         … it was not asked: the budget does not hold the call
    └── TransientError      … and asking again may help: the one leaf that is retried
"""


class SolonError(Exception):
    """Base of the tree; its text is one line that says what is wrong and what would be right."""


class InputError(SolonError):
    pass


class ConfigError(InputError):
    pass


class DataFileError(InputError):
    pass


class RecordError(InputError):
    pass


class ModelNotFoundError(InputError):
    pass


class QueryError(InputError):
    pass


class IdError(InputError):
    pass


class UnknownUserError(InputError):
    pass


class StoreError(SolonError):
    pass


class StoreBusyError(StoreError):
    pass


class SchemaError(StoreError):
    pass


class ShapeError(SolonError):
    pass


class SilentJudgeError(SolonError):
    pass


class TrainingError(SolonError):
    pass


class LostProcessError(SolonError):
    pass


class EndpointError(SolonError):
    may_be_billed = False
    """Whether the server may have charged for what failed."""


class BudgetError(EndpointError):
    pass


class TransientError(EndpointError):
    """A failure of the moment: time-out, lost connection, 429, 5xx, unreadable reply.

    Args:
        message: What happened.
        retry_after_seconds: What the server asked for, if it did.
        is_throttled: Whether the server said that it is asked too fast (429).
        may_be_billed: Whether the server may have charged for it all the same.
    """

    def __init__(
        self,
        message: str,
        retry_after_seconds: float | None = None,
        is_throttled: bool = False,
        may_be_billed: bool = True,
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.is_throttled = is_throttled
        self.may_be_billed = may_be_billed
