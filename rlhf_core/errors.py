"""Every error Solon raises on purpose, in one tree.

SolonError
├── InputError            the user can mend it; the command line exits with 2
│   ├── ConfigError         a key, a value or a combination in the config
│   ├── PromptFileError     the prompt file, with its line
│   ├── TextPairError       a file of labelled text pairs, with its line
│   ├── ModelNotFoundError  a model that is not where its name says
│   └── QueryError          SQL that the audit refuses or cannot run
├── StoreError            the store cannot be used as it is
│   ├── StoreBusyError      another process held the lock for too long
│   └── SchemaError         written by a newer version, or migrated by other hands
├── ShapeError            tensors that would broadcast instead of matching
├── TrainingError         a run that cannot go on (no data, loss not finite)
└── EndpointError         a remote model did not answer usefully
    └── TransientError      … and asking again may help: the one leaf that is retried
"""


class SolonError(Exception):
    """Base of the tree; its text is one line that says what is wrong and what would be right."""


class InputError(SolonError):
    pass


class ConfigError(InputError):
    pass


class PromptFileError(InputError):
    pass


class TextPairError(InputError):
    pass


class ModelNotFoundError(InputError):
    pass


class QueryError(InputError):
    pass


class StoreError(SolonError):
    pass


class StoreBusyError(StoreError):
    pass


class SchemaError(StoreError):
    pass


class ShapeError(SolonError):
    pass


class TrainingError(SolonError):
    pass


class EndpointError(SolonError):
    pass


class TransientError(EndpointError):
    """A failure of the moment: time-out, 429, 5xx.

    Args:
        message: What happened.
        retry_after_seconds: What the server asked for, if it did.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
