"""The flows that a Prefect server deploys: groups of stages, single stages, cycles, approvals.

All take a config and its overrides as parameters, and read the config again at each run, so that
edits take effect. They load no training code before they run.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.runtime import deployment
from prefect.states import Completed
from pydantic import Field

from flows.service.flow_process import SERVED, attach, is_deployed
from flows.service.states import NOT_DUE, WAITING
from flows.terminal import stopping
from flows.terminal.parent import end_with
from flows.triggers.check import check

logger = logging.getLogger(__name__)

if SERVED in os.environ:  # the process of a run ends when the process that serves is gone
    stopping.listen(is_quiet=True)
    end_with(int(os.environ[SERVED]))

StageName = Literal[
    "ingest",
    "revise",
    "train_sft",
    "sample",
    "judge",
    "pair",
    "repair",
    "train_reward",
    "train_policy",
    "evaluate",
    "promote",
    "report",
]


@flow(name="feedback")
def feedback(config: str, overrides: list[str]) -> State[Any]:
    """Collect feedback: ingest prompts, sample answers, judge them, and rank them as pairs.

    The SFT model is trained first if it is missing. Feedback may be collected as often as wanted:
    each run adds what is missing, such as new prompts.

    Args:
        config: Path of the config, a YAML file, on the machine that runs the flow.
        overrides: Settings to change in this run, each as KEY=VALUE, such as training.steps=32.
    """
    return run_group("feedback", config, overrides)


@flow(name="reward-model")
def reward_model(config: str, overrides: list[str]) -> State[Any]:
    """Train the reward model on all rankings so far. It needs `feedback`.

    Args:
        config: Path of the config, a YAML file, on the machine that runs the flow.
        overrides: Settings to change in this run, each as KEY=VALUE, such as training.steps=32.
    """
    return run_group("reward-model", config, overrides)


@flow(name="policy")
def policy(config: str, overrides: list[str]) -> State[Any]:
    """Train the policy against the reward model that `reward-model` trained last.

    Args:
        config: Path of the config, a YAML file, on the machine that runs the flow.
        overrides: Settings to change in this run, each as KEY=VALUE, such as training.steps=32.
    """
    return run_group("policy", config, overrides)


@flow(name="evaluate")
def evaluate(config: str, overrides: list[str]) -> State[Any]:
    """Compare the policy with the champion on held-out prompts.

    Args:
        config: Path of the config, a YAML file, on the machine that runs the flow.
        overrides: Settings to change in this run, each as KEY=VALUE, such as training.steps=32.
    """
    return run_group("evaluate", config, overrides)


@flow(name="promote")
def promote(config: str, overrides: list[str]) -> State[Any]:
    """Promote the policy or refuse it, and end the cycle with its page.

    Args:
        config: Path of the config, a YAML file, on the machine that runs the flow.
        overrides: Settings to change in this run, each as KEY=VALUE, such as training.steps=32.
    """
    return run_group("promote", config, overrides)


@flow(name="cycle")
def cycle(config: str, overrides: list[str]) -> State[Any]:
    """Run the next cycle. One that a crash interrupted is finished first.

    Args:
        config: Path of the config, a YAML file, on the machine that runs the flow.
        overrides: Settings to change in this run, each as KEY=VALUE, such as training.steps=32.
    """
    return run_group("cycle", config, overrides)


@flow(name="stage")
def stage(config: str, overrides: list[str], stage: StageName) -> State[Any]:
    """Run one stage of the open cycle by itself, from what the stages before it made.

    Args:
        config: Path of the config, a YAML file, on the machine that runs the flow.
        overrides: Settings to change in this run, each as KEY=VALUE, such as training.steps=32.
        stage: The stage to run.

    Returns:
        The end of the run.
    """
    return run_group(stage, config, overrides, label="stage")


@flow(name="approval")
def approval(
    config: str,
    overrides: list[str],
    decision: Literal["approve", "reject"],
    by: Annotated[str, Field(min_length=1)],
    reason: Annotated[str, Field(min_length=1)],
    policy: str = "",
) -> None:
    """Decide about the policy of a line that waits for a person, and end its cycle.

    It does what `solon approve` and `solon reject` do; the form asks for the decision.

    Args:
        config: Path of the config, a YAML file, on the machine that runs the flow.
        overrides: Settings to change in this run, each as KEY=VALUE, such as training.steps=32.
        decision: approve promotes the policy, reject refuses it.
        by: Name of the person who decides.
        reason: Why, for readers.
        policy: Id of the policy, or its beginning; empty for whichever waits.
    """
    from flows.champion.approval import answer
    from flows.cycle.cycle import next_cycle
    from flows.cycle.flow_runs import name_run
    from flows.run import finish_cycle
    from rlhf_core.config import load_config

    with _running("approval"):
        loaded = load_config(Path(config), overrides)
        name_run(next_cycle(loaded, Path(config)), "approval")
        answer(loaded, policy, decision == "approve", by, reason)
        finish_cycle(loaded, Path(config))


def run_group(name: str, config: str, overrides: list[str], label: str | None = None) -> State[Any]:
    """Run a group of stages of a line's open cycle, in the process of a flow run.

    Args:
        name: A name of `flows.alone.ALONE`.
        config: Path of the config.
        overrides: `a.b=c` each.
        label: Name of the deployed flow, which labels its events; None for that of the group. No
            automation follows on the flow `stage`.

    Returns:
        The end of the flow run. One whose stage before it has not ended is completed as Waiting:
        a schedule or an event that comes too early is no failure. Nor is a budget that is spent.
    """
    # Prefect pickles a flow by value for the process of a run that is served. The functions it
    # calls are pickled by name, which imports this module there.
    from flows.alone import run_alone
    from flows.cycle.cycle import next_cycle
    from flows.cycle.flow_runs import name_run, spent_state
    from flows.cycle.line import check_line
    from flows.triggers.due import announce_due, why_not_due
    from rlhf_core.config import load_config
    from rlhf_core.errors import BudgetError, NotReadyError

    with _running(label or name):
        with _failure_announced(name):
            loaded = load_config(Path(config), overrides)
            logger.info("%s", check_line(loaded, Path(config)))
            cycle = next_cycle(loaded, Path(config))
        name_run(cycle, name)
        not_due = why_not_due(loaded, cycle.open_store()) if name == "reward-model" else None
        if not_due is not None:
            logger.info("%s", not_due)
            return Completed(name=NOT_DUE, message=not_due)
        try:
            run_alone(cycle, name)
        except BudgetError as error:
            return spent_state(error)
        except NotReadyError as error:
            logger.info("%s", error)
            return Completed(name=WAITING, message=str(error))
        if name == "feedback":
            announce_due(loaded, cycle.open_store())
    return Completed(message=f"line {cycle.line}, cycle {cycle.number}: {name} has ended")


@contextmanager
def _running(name: str) -> Iterator[None]:
    """Run a deployed flow: it ends by signals, its lines reach the server, its events its name."""
    from flows.service.events import running
    from flows.service.janitor import owned
    from flows.service.run_logs import log_run

    attach()
    if is_deployed():
        log_run()
    with stopping.unwinding(), owned(), running(name):
        yield


@contextmanager
def _failure_announced(name: str) -> Iterator[None]:
    """Announce an error before the first stage, such as an edit that broke the config."""
    from flows.service.events import announce_failure

    try:
        yield
    except Exception as error:  # whatever it is, somebody has to know
        line = deployment.name  # the config may not be readable
        if line is not None:
            announce_failure(line, 0, name, error)
        raise


_ALL: tuple[Flow[..., Any], ...] = (
    feedback,
    check,
    reward_model,
    policy,
    evaluate,
    promote,
    cycle,
    stage,
    approval,
)
FLOWS = {each.name: each for each in _ALL}
"""The deployed flows by name."""
