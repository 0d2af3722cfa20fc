"""Approval in Prefect's page: a flow whose form asks for the decision, the name and the reason.

Deployed as approval/LINE, it does what `solon approve` and `solon reject` do.
"""

from pathlib import Path
from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from flows.champion.approval import answer
from flows.run import finish_cycle
from rlhf_core.config import load_config


@flow(name="approval")
def approval(
    config: str,
    decision: Literal["approve", "reject"],
    by: Annotated[str, Field(min_length=1)],
    reason: Annotated[str, Field(min_length=1)],
    policy: str = "",
    overrides: list[str] | None = None,
) -> None:
    """Decide about the policy of a line that waits for approval, and end its cycle.

    Args:
        config: Path of the line's config.
        decision: approve promotes the policy, reject refuses it.
        by: Name of the person who decides.
        reason: Why, for readers.
        policy: Id of the policy, or its beginning; empty for whichever waits.
        overrides: Settings changed from the config, `a.b=c` each.
    """
    loaded = load_config(config, overrides or [])
    answer(loaded, policy, decision == "approve", by, reason)
    finish_cycle(loaded, Path(config))
