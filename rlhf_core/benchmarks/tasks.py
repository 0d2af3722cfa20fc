"""Tasks of lm-evaluation-harness: loading them, and measuring a model on them.

The library is the extra `benchmarks`. It reads tasks that it ships, whose data is on the hub, and
.yaml files in its format, whose data may be local.
"""

import json
import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlhf_core.benchmarks.items import ItemResult
from rlhf_core.config.benchmarks import TaskSettings
from rlhf_core.errors import ConfigError, DataFileError
from rlhf_core.identity import content_id
from rlhf_core.models.trunk import Role, Trunk

logger = logging.getLogger(__name__)

LIBRARY = "lm_eval"
TaskDict = dict[str, Any]
"""The result of the library's loader: tasks by name under `tasks`, and their groups."""
EXAMPLES_SEED = 1234
"""Seed of the worked examples: the library's default."""
BATCH = 8
"""Texts in a forward pass, which computes the logits of all their tokens."""
UNFILTERED = "none"
"""Name by which the library means that a reply was not filtered."""


def require_library() -> None:
    """Refuse to go on without lm-evaluation-harness.

    Raises:
        ConfigError: If it is not installed; the message says how to install it.
    """
    if find_spec(LIBRARY) is None:
        raise ConfigError(
            "evaluation.benchmarks: kind lm_eval needs lm-evaluation-harness; install it with "
            "pip install 'solon[benchmarks]', or remove the entry"
        )


def load_tasks(settings: TaskSettings) -> TaskDict:
    """Return the library's tasks, with their data loaded and the settings applied.

    Args:
        settings: Names the tasks, and the worked examples of each.

    Raises:
        ConfigError: If the library is missing, or has no such task.
        DataFileError: If a task cannot be loaded, as without its data.
    """
    require_library()
    from lm_eval.tasks import TaskManager

    names = [str(Path(name).expanduser()) if _is_file(name) else name for name in settings.tasks]
    for name in names:
        if _is_file(name) and not Path(name).is_file():
            raise ConfigError(f"evaluation.benchmarks: no file {name}; name an existing one")
    manager = TaskManager()
    known = set(manager.all_tasks)
    for name in names:
        if not _is_file(name) and name not in known:
            raise ConfigError(
                f"evaluation.benchmarks: lm-evaluation-harness has no task {name!r}; "
                "`lm_eval ls tasks` lists them, and a task of your own is a .yaml file"
            )
    try:
        loaded: TaskDict = manager.load(names)
    except Exception as error:  # whatever a task's file, data set or code raises
        reason = " ".join(str(error).split())
        raise DataFileError(
            f"evaluation.benchmarks: the tasks {', '.join(settings.tasks)} cannot be loaded: "
            f"{type(error).__name__}: {reason}"
        ) from error
    for task in loaded["tasks"].values():
        _set_examples(task, settings.num_fewshot)
    return loaded


def _set_examples(task: Any, wanted: int | None) -> None:
    """Set the number of worked examples as the library's own command does.

    A task that sets 0 keeps it, and one that sets none has 0 by default.
    """
    own = task.get_config("num_fewshot")
    if own is None or (wanted is not None and own != 0):
        task.set_config(key="num_fewshot", value=wanted or 0)
    task.set_fewshot_seed(seed=EXAMPLES_SEED)


def tasks_version(settings: TaskSettings, tasks: TaskDict) -> str:
    """Return an id of what decides results besides the model: library, settings and items."""
    items = [
        [name, _as_json(task.dump_config()), [_as_json(doc) for doc in task.eval_docs]]
        for name, task in sorted(tasks["tasks"].items())
    ]
    return content_id("lm_eval", version(LIBRARY), settings.model_dump(mode="json"), items)


def measure_tasks(
    trunk: Trunk, role: Role, settings: TaskSettings, tasks: TaskDict
) -> Iterator[ItemResult]:
    """Yield the results of a role on each item of the tasks.

    A result that is no number, such as the sum and count behind a perplexity, is left out, and a
    warning names its metric.

    Args:
        trunk: Holds the role; it is not sharded.
        role: The role that answers.
        settings: The settings of the tasks.
        tasks: The tasks, from `load_tasks`.

    Yields:
        One result for each metric that is a number on each item.
    """
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    acting: AbstractContextManager[Any] = trunk.acting_as(role)
    with acting as model, trunk.compute.autocast():
        wrapped = HFLM(
            pretrained=model, tokenizer=trunk.tokenizer, backend="causal", batch_size=BATCH
        )
        found = evaluate(
            wrapped,
            tasks,
            limit=settings.limit,
            apply_chat_template=settings.apply_chat_template,
            bootstrap_iters=0,  # Solon computes the intervals
            log_samples=True,
        )
    assert found is not None, "only ranks above 0 get nothing"
    left_out: Counter[str] = Counter()
    for task, samples in found["samples"].items():
        for sample in samples:
            yield from _results(task, sample, left_out)
    for metric, count in left_out.items():
        logger.warning("%s of %d items is no number, and is left out", metric, count)


def _results(task: str, sample: Mapping[str, Any], left_out: Counter[str]) -> Iterator[ItemResult]:
    suffix = "" if sample["filter"] == UNFILTERED else f" ({sample['filter']})"
    for metric in sample["metrics"]:
        value = sample[metric]
        if isinstance(value, bool | int | float) and math.isfinite(value):
            item = f"{task} {sample['doc_id']}"
            yield ItemResult(item, task, item, f"{metric}{suffix}", float(value))
        else:
            left_out[f"{task}: {metric}{suffix}"] += 1


def _as_json(value: Any) -> str:
    return json.dumps(value, default=_plain, sort_keys=True)


def _plain(value: Any) -> str:
    """Return a text that is the same in every process; the default of a function is its address."""
    return getattr(value, "__qualname__", type(value).__name__) if callable(value) else str(value)


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))
