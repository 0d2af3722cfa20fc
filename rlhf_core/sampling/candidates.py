"""Answers in text to prompts, from two sources with one interface: the policy, and an endpoint.

Seeds make the answers of the local sampler reproducible. An endpoint receives them too, and may
ignore them.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.policy import PolicySettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.endpoints.budget import Budget
from rlhf_core.endpoints.chat_completion import FILTERED, REFUSED
from rlhf_core.endpoints.endpoint import ChatReply, ChatRequest, Endpoint
from rlhf_core.endpoints.preflight import preflight
from rlhf_core.endpoints.profile import DEFAULT_TEMPERATURE
from rlhf_core.errors import EndpointError
from rlhf_core.models.answers import AnswerReader
from rlhf_core.models.chat import policy_chat
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import Prompt
from rlhf_core.records.conversation import Message, Tool, with_system
from rlhf_core.sampling.local import Sample
from rlhf_core.sampling.sampler import LOCAL, Sampler, limits_of

ENDPOINT_SEED_LIMIT = 2**31


@dataclass(frozen=True)
class Completion:
    """An answer, with tokens and log-probabilities if the policy gave it."""

    text: str
    """The answer, without the model's thoughts."""
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    reasoning: str | None = None
    """The model's thoughts before the answer; None if it had none."""
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    latency_seconds: float = 0.0
    cost_usd: float = 0.0


OnCompletion = Callable[[int, int, Completion | EndpointError], None]
"""Called once for each answer as soon as it is complete, with the indices of prompt and seed."""


class AnswerSampler(Protocol):
    def __call__(
        self,
        prompts: Sequence[Prompt],
        seeds: Sequence[Sequence[int]],
        on_completion: OnCompletion = lambda prompt, seed, completion: None,
    ) -> list[list[Completion | EndpointError]]:
        """Return an answer to each prompt for each of its seeds.

        Args:
            prompts: The prompts.
            seeds: For each prompt, the seed of each of its answers.
            on_completion: Called once for each answer, as soon as it is complete.

        Returns:
            For each prompt, its answers in the order of the seeds; an error where one failed.
        """


class PolicySampler:
    """Samples answers from a role of a trunk.

    Args:
        trunk: Holds the role.
        role: The role that answers.
        policy: System message of every prompt, and settings of the chat template.
        sampling: Length and temperature.
        sampler: Samples the tokens.
    """

    def __init__(
        self,
        trunk: Trunk,
        role: Role,
        policy: PolicySettings,
        sampling: SamplingSettings,
        sampler: Sampler = LOCAL,
    ) -> None:
        self.trunk, self.role, self.sampler = trunk, role, sampler
        self.chat = policy_chat(trunk.tokenizer, policy)
        self.reader = AnswerReader(trunk.tokenizer, trunk.end_ids)
        self.limits = limits_of(trunk, sampling)

    def __call__(
        self,
        prompts: Sequence[Prompt],
        seeds: Sequence[Sequence[int]],
        on_completion: OnCompletion = lambda prompt, seed, completion: None,
    ) -> list[list[Completion | EndpointError]]:
        started = time.perf_counter()
        ids = [self.chat.prompt_ids(prompt.conversation) for prompt in prompts]
        drawn = self.sampler.sample(self.trunk, self.role, ids, seeds, self.limits)
        # All answers are drawn in one batch, so each has an equal share of the batch's latency.
        share = (time.perf_counter() - started) / sum(len(row) for row in seeds)
        completions: list[list[Completion | EndpointError]] = [
            [self._completion(prompt_ids, answer, share) for answer in answers]
            for prompt_ids, answers in zip(ids, drawn, strict=True)
        ]
        for prompt, row in enumerate(completions):
            for seed, completion in enumerate(row):
                on_completion(prompt, seed, completion)
        return completions

    def _completion(
        self, prompt_ids: Sequence[int], answer: Sample, latency_seconds: float
    ) -> Completion:
        said = self.reader.read(prompt_ids, answer.token_ids, answer.finish_reason)
        return Completion(
            text=said.text,
            finish_reason=said.finish_reason,
            prompt_tokens=len(prompt_ids),
            completion_tokens=len(answer.token_ids),
            reasoning=said.reasoning,
            token_ids=answer.token_ids,
            logprobs=answer.logprobs,
            latency_seconds=latency_seconds,
        )


class EndpointSampler:
    """Samples answers from a remote chat model.

    Args:
        settings: Model, address, limits and prices.
        system_prompt: System message of every prompt; None sends none.
        sampling: Length and temperature.
        budget: Limits the spending; None sets no limit.
        setting: Name of the setting that an error names.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        system_prompt: str | None,
        sampling: SamplingSettings,
        budget: Budget | None = None,
        setting: str = "sampling.endpoint",
    ) -> None:
        self.endpoint = Endpoint(settings, budget)
        self.system_prompt = system_prompt
        self.sampling = sampling
        self.setting = setting

    def preflight(self) -> None:
        """Send one tiny request, once a run.

        Raises:
            EndpointError: If the server does not answer, or refuses the temperature that is
                recorded with the answers.
        """
        like = self._request((), (), seed=0)
        try:
            preflight(self.endpoint.settings, like, self.endpoint.budget)
        except EndpointError as error:
            raise EndpointError(f"{self.setting}: {error}") from None

    def __call__(
        self,
        prompts: Sequence[Prompt],
        seeds: Sequence[Sequence[int]],
        on_completion: OnCompletion = lambda prompt, seed, completion: None,
    ) -> list[list[Completion | EndpointError]]:
        places = [(at, seed) for at, row in enumerate(seeds) for seed in range(len(row))]
        requests = self._requests(prompts, seeds)
        replies = self.endpoint.complete(
            requests, lambda index, reply: on_completion(*places[index], _completion(reply))
        )
        completions = iter(map(_completion, replies))
        return [[next(completions) for _ in row] for row in seeds]

    def _requests(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]]
    ) -> list[ChatRequest]:
        conversations = [prompt.conversation for prompt in prompts]
        return [
            self._request(
                with_system(conversation.messages, self.system_prompt), conversation.tools, seed
            )
            for conversation, row in zip(conversations, seeds, strict=True)
            for seed in row
        ]

    def _request(
        self, messages: tuple[Message, ...], tools: tuple[Tool, ...], seed: int
    ) -> ChatRequest:
        temperature = self.sampling.temperature
        return ChatRequest(
            messages=messages,
            tools=tools,
            max_tokens=self.sampling.max_new_tokens,
            temperature=temperature,
            needs_temperature=temperature != DEFAULT_TEMPERATURE,
            seed=seed % ENDPOINT_SEED_LIMIT,
        )


def _completion(reply: ChatReply | EndpointError) -> Completion | EndpointError:
    if isinstance(reply, EndpointError):
        return reply
    if reply.finish_reason == FILTERED:
        return EndpointError("the server's content filter withheld the answer")
    if reply.is_lost_in_thought:
        spent = f"the answer was cut off after {reply.completion_tokens} tokens, before it began"
        return EndpointError(f"{spent}; raise thinking_tokens, or lower reasoning_effort")
    if reply.only_calls:
        return EndpointError(
            "the model only called a tool, and an answer is text; leave tools out of the prompt, "
            "or set extra_body: {tool_choice: none}"
        )
    return Completion(
        text=reply.text.strip(),
        finish_reason="eos" if reply.finish_reason == REFUSED else reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        reasoning=reply.thoughts or None,
        latency_seconds=reply.latency_seconds,
        cost_usd=reply.cost_usd,
    )
