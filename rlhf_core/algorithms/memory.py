"""Smaller micro-batches when memory runs out: results do not depend on their size."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from rlhf_core.algorithms.optimisation import Updater
from rlhf_core.distributed.ranks import any_rank
from rlhf_core.distributed.sharding import is_sharded
from rlhf_core.models.trunk import Trunk

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
MIN_TOKENS = 16
"""Smallest micro-batch in tokens; if it does not fit, the model does not fit."""


def run_within_memory(
    trunk: Trunk, work: Callable[[], Result], updaters: Iterable[Updater] = ()
) -> Result:
    """Return the result of some work, repeated with half the micro-batch whenever memory runs out.

    Args:
        trunk: Its micro-batch size is reduced.
        work: Starts from cleared gradients, and calls no collective: a rank that ran out of memory
            would never reach it.
        updaters: Their gradients are cleared before each repetition.

    Returns:
        The result of `work`.

    Raises:
        RuntimeError: PyTorch's error, if even the smallest micro-batch does not fit.
    """
    if is_sharded(trunk.language_model):
        return work()  # ranks make their passes in lockstep, so one cannot restart by itself
    while True:
        has_failed = False
        tokens = trunk.compute.tokens_per_microbatch // 2
        try:
            result = work()
        except RuntimeError as error:
            has_failed = True
            if not should_reduce_batch_size(error) or tokens < MIN_TOKENS:
                raise
        # Outside the handler, because its traceback holds the tensors that filled the memory. All
        # ranks restart if one has to, so that their micro-batches stay the same.
        if not any_rank(has_failed):
            return result
        for updater in updaters:
            updater.clear_gradients()
        clear_device_cache(garbage_collection=True)
        trunk.compute = trunk.compute.with_microbatches_of(tokens)
        logger.warning("out of memory: continuing with %d tokens a micro-batch", tokens)
