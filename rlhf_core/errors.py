"""Every error Solon raises on purpose, in one tree.

SolonError
├── InputError            the user can fix it; the command line exits with 2
│   ├── ConfigError         a key, a value or a combination in the config
│   ├── DataFileError       a file of prompts or labels; the message names the line
│   ├── RecordError         rows that do not match the record they are read as
│   ├── ModelNotFoundError  no model at the path or name given
│   ├── QueryError          SQL that the audit refuses or cannot run
│   ├── IdError             an id that matches no row of the store, or several rows
│   ├── UnknownUserError    a user of whom the store has no prompt
│   └── NotReadyError       a stage that was run before the stage that it starts from
├── StoreError            the store cannot be used as it is
│   ├── StoreBusyError      another process held the lock for too long
│   └── SchemaError         written by a newer version, or migrated by something else
├── ShapeError            tensors that would broadcast instead of matching
├── SilentJudgeError      a judge left too many questions without a readable answer
├── TrainingError         training cannot continue (no data, loss not finite)
├── TimeLimitError        a stage took longer than service.stage_timeout_hours
├── LostProcessError      another rank of a distributed run ended
├── FailedRankError       another rank failed at what all ranks do together
├── ChampionChangedError  a rollback changed the champion of a cycle that is under way
└── EndpointError         a remote model gave no usable answer
    ├── BudgetError         … the call was not sent, because it would exceed the budget
    ├── ContentFilteredError … a filter of the server kept the call from the model
    └── TransientError      … and a retry may help: the only leaf that is retried
"""


class SolonError(Exception):
    """Base of the tree; the message is one line that says what is wrong and how to fix it."""


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


class NotReadyError(InputError):
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


class TimeLimitError(SolonError):
    pass


class LostProcessError(SolonError):
    pass


class FailedRankError(SolonError):
    pass


class ChampionChangedError(SolonError):
    pass


class EndpointError(SolonError):
    may_be_billed = False
    """True if the server may have charged for the failed call."""


class BudgetError(EndpointError):
    pass


class ContentFilteredError(EndpointError):
    pass


class TransientError(EndpointError):
    """A temporary failure: time-out, lost connection, 429, 5xx, unreadable reply.

    Args:
        message: What happened.
        retry_after_seconds: Pause that the server asked for; None if it named none.
        is_throttled: True if the server limited the rate (429).
        may_be_billed: True if the server may have charged for the call nevertheless.
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
