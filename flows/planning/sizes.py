"""Mean lengths of a config's texts in tokens, and the speed of its model on this machine."""

from collections.abc import Sequence

from flows.cycle.estimates import Sizes
from flows.planning.speed import measure_speed
from rlhf_core.config import Config
from rlhf_core.models.chat import policy_chat
from rlhf_core.models.device import Compute
from rlhf_core.models.loading import load_tokenizer, parameter_count
from rlhf_core.models.lora_shape import trained_lora
from rlhf_core.records import Prompt


def measure_sizes(config: Config, prompts: Sequence[Prompt], compute: Compute) -> Sizes:
    """Measure the lengths of prompts and answers, and the speed of the policy's model.

    Args:
        config: Config of the run.
        prompts: All of its prompts. Without reference answers, an answer is taken to have half of
            sampling.max_new_tokens.
        compute: Device and precision of the run.

    Returns:
        The sizes that estimates of time and cost depend on.
    """
    chat = policy_chat(load_tokenizer(config.policy.model), config.policy)
    lengths = [len(chat.prompt_ids(prompt.conversation)) for prompt in prompts]
    answers = [
        min(len(chat.answer_ids(text)), config.sampling.max_new_tokens)
        for prompt in prompts
        for text in prompt.reference_answers
    ]
    return Sizes(
        prompt=sum(lengths) / len(lengths),
        answer=sum(answers) / len(answers) if answers else config.sampling.max_new_tokens / 2,
        parameters=parameter_count(config.policy.model),
        speed=measure_speed(config.policy.model, compute, trained_lora(config.policy)),
    )
