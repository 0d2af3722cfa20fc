"""The flow that checks a line's conditions on a short schedule; it loads no model."""

from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

CHECK = "check"
"""Name of the flow."""


@flow(name=CHECK)
def check(config: str, overrides: list[str]) -> State:
    """Check the conditions of a line, and announce those that hold.

    Args:
        config: Path of the config.
        overrides: `a.b=c` each.

    Returns:
        The end of the run, with the values of the conditions as its message.
    """
    # Imported here, so that a process that serves flows holds no model library while it waits.
    from flows.triggers.conditions import training_conditions
    from flows.triggers.due import announce_due, announce_new_prompts
    from rlhf_core.config import load_config
    from rlhf_core.store import Store, store_exists

    loaded = load_config(Path(config), overrides)
    if not store_exists(loaded.store):
        return Completed(message="no cycle has begun")
    store = Store(loaded.store)
    announced = [announce_due(loaded, store), announce_new_prompts(loaded, store)]
    due = "; ".join(text for text in announced if text)
    values = "; ".join(each.text for each in training_conditions(loaded, store.query))
    return Completed(message=f"due: {due}" if due else f"nothing new is due: {values}")
