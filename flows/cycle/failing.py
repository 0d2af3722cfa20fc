"""Ends of stages that do not complete: an error, a time limit, a budget that is spent.

What the stage has added stays. There is no StageRun, so the next run resumes.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TypeVar

from flows.cycle.cycle import Cycle
from flows.service.events import Event, announce, announce_failure
from flows.terminal import stopping
from rlhf_core.errors import (
    BudgetError,
    ContentFilteredError,
    EndpointError,
    InputError,
    SilentJudgeError,
    StoreBusyError,
    StoreError,
)
from rlhf_core.records import Failure
from rlhf_core.store import Store

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
PASSING = (EndpointError, SilentJudgeError, StoreBusyError)
"""Errors after which a stage may succeed in a few minutes, as when a server restarts."""
LASTING = (BudgetError, ContentFilteredError)
"""Those of them that last."""
PAUSES_SECONDS = (60.0, 300.0)
"""Pauses before the second and the third attempt of a deployed stage."""
LONGEST_REASON = 1000

_is_retried: ContextVar[bool] = ContextVar("is_retried", default=False)
"""True while a stage would be tried again if it failed for a passing reason."""


@contextmanager
def ending(cycle: Cycle, stage: str, store: Store) -> Iterator[None]:
    """Yield to a stage within its time limit; record and announce its end if it does not complete.

    Args:
        cycle: The cycle under way.
        stage: Name of the stage.
        store: Receives the failure.

    Raises:
        TimeLimitError: If the stage took longer than `service.stage_timeout_hours`.
        BudgetError: If a call was refused because the budget is spent, whatever that led to.
    """
    hours = cycle.config.service.stage_timeout_hours
    limit = f"stage {stage} took longer than service.stage_timeout_hours ({hours or 0:g})"
    try:
        with stopping.time_limit(hours and 3600.0 * hours, limit):
            yield
        if cycle.budget.refusal is not None:  # what is missing must not count as done
            raise BudgetError(cycle.budget.refusal)
    except Exception as error:  # whatever it is: it is announced, recorded and raised again
        if cycle.budget.refusal is not None:
            _announce_spent(cycle, stage)
            raise BudgetError(f"{cycle.budget.refusal}; what was done is kept") from error
        if not (_is_retried.get() and is_passing(error)):
            announce_failure(cycle.line, cycle.number, stage, error)
        if not isinstance(error, InputError):
            _record(cycle, stage, store, error)
        raise


def is_passing(error: BaseException) -> bool:
    """Return True if a stage that failed by this error may succeed in a few minutes."""
    return isinstance(error, PASSING) and not isinstance(error, LASTING)


def retried(run: Callable[[], Result], pauses: Sequence[float] = PAUSES_SECONDS) -> Result:
    """Run a stage, and run it again after a pause if it failed for a passing reason.

    Prefect retries a flow after any error, also after one that only an edit can mend.

    Args:
        run: Runs the stage, which resumes.
        pauses: Seconds before each further attempt.

    Returns:
        What the stage returned.
    """
    for pause in pauses:
        token = _is_retried.set(True)
        try:
            return run()
        except PASSING as error:
            if not is_passing(error):
                raise
            logger.warning("%s; the stage is tried again in %.0f s", error, pause)
        finally:
            _is_retried.reset(token)
        time.sleep(pause)
    return run()


def _announce_spent(cycle: Cycle, stage: str) -> None:
    """Emit the event that the budget is spent, once a run."""
    refusal = cycle.budget.take_refusal()
    if refusal is not None:
        announce(
            Event.BUDGET_SPENT,
            cycle.line,
            cycle=cycle.number,
            stage=stage,
            spent_usd=cycle.budget.spent.usd,
            because=refusal,
        )


def _record(cycle: Cycle, stage: str, store: Store, error: Exception) -> None:
    """Add the failure of a whole stage; without the store, the log has it."""
    reason = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
    failure = Failure(stage=stage, subject_id=cycle.line, reason=reason, attempt=cycle.run_id)
    with suppress(StoreError):
        store.append([failure])
