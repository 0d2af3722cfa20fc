"""Where memory runs out, go on with smaller micro-batches: results do not depend on their size."""

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
SMALLEST = 16
"""Tokens of a micro-batch; where not even those fit, the model does not."""


def within_memory(
    trunk: Trunk, work: Callable[[], Result], updaters: Iterable[Updater] = ()
) -> Result:
    """What the work comes to; whenever memory runs out, again with half the tokens at once.

    Args:
        trunk: Whose micro-batches the work takes.
        work: Starts from cleared gradients, and sums nothing over processes: one that ran out of
            memory would never come to the sum.
        updaters: Whose gradients it adds to.

    Raises:
        RuntimeError: As PyTorch does where even the smallest micro-batch does not fit.
    """
    if is_sharded(trunk.language_model):
        return work()  # passes are made together, so one process cannot begin again by itself
    while True:
        has_failed = False
        tokens = trunk.compute.tokens_per_microbatch // 2
        try:
            found = work()
        except RuntimeError as error:
            has_failed = True
            if not should_reduce_batch_size(error) or tokens < SMALLEST:
                raise
        # Outside of the handler, for its traceback holds the tensors that filled the memory. All
        # processes start again where one has to, so that their micro-batches stay the same.
        if not any_rank(has_failed):
            return found
        for updater in updaters:
            updater.discard()
        clear_device_cache(garbage_collection=True)
        trunk.compute = trunk.compute.with_microbatches_of(tokens)
        logger.warning("out of memory: going on with %d tokens a micro-batch", tokens)
