"""Sampling on a vLLM server, which is given the policy's adapter whenever it has changed.

Each answer is one request with its own seed; the server's prefix cache reads a prompt once. The
log-probabilities are those that the server drew with, at the temperature.
"""

import asyncio
import hashlib
import itertools
import logging
import os
import shutil
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from openai import AsyncOpenAI

from rlhf_core.config.engine import EngineSettings
from rlhf_core.distributed.ranks import all_gather_mapping, from_rank_zero, share_of_rank
from rlhf_core.endpoints.connections import http_clients
from rlhf_core.endpoints.endpoint import NO_KEY
from rlhf_core.endpoints.retries import client_errors, with_retries
from rlhf_core.endpoints.vllm_server import VLLMServer
from rlhf_core.errors import ConfigError, EndpointError
from rlhf_core.files.whole import scratch_folder
from rlhf_core.models.adapter_files import ADAPTER
from rlhf_core.models.loading import model_folder
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.completion import probe_body, read_sample, reports_raw_logprobs, sample_body
from rlhf_core.sampling.local import Sample, SamplingLimits

logger = logging.getLogger(__name__)


class ServerSampler:
    """Samples a role of a trunk on a server that serves the trunk's base.

    Made on all ranks: rank 0 manages the server, and each rank requests its share of the answers.

    Args:
        settings: The engine, with the address of the server.
        base: Folder of the trunk's base model.
        folder: Folder for the adapters, which the server sees under the same path. After a kill,
            the next sampler removes what is left there.

    Raises:
        ConfigError: If the server serves another model.
        EndpointError: If it does not answer.
    """

    def __init__(self, settings: EngineSettings, base: Path, folder: Path) -> None:
        self.settings, self.base, self.folder = settings, base.resolve(), folder.resolve()
        self._key = os.environ.get(settings.api_key_env)
        self._server = VLLMServer(str(settings.url), self._key, settings.timeout_seconds)
        self.engine, self._base_name = from_rank_zero(self._connect)
        self._session = uuid.uuid4().hex[:8]
        self._versions = 0
        self._loaded, self._digest = "", ""
        self._adapters: Path | None = None
        """Folder of this sampler's adapters, once there is one."""
        self._files = ExitStack()
        self._checked: set[float] = {1.0}
        """Temperatures at which the server's log-probabilities are known to be what is needed."""

    def sample(
        self,
        trunk: Trunk,
        role: Role,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[Sequence[int]],
        limits: SamplingLimits,
    ) -> list[list[Sample]]:
        """Sample answers on the server, once it has the role's weights.

        Args:
            trunk: Holds the role.
            role: The role that answers.
            prompts: Tokens of each prompt.
            seeds: For each prompt, the seed of each of its answers.
            limits: Length, temperature, special tokens.

        Returns:
            The answers to each prompt, in the order of the seeds.

        Raises:
            EndpointError: If an answer could not be had: then none is returned.
            ValueError: If the trunk stands on another base than the server serves.
        """
        self._refuse_other_base(trunk)
        name = from_rank_zero(partial(self._serve, trunk, role, prompts, limits))
        own = share_of_rank(range(len(prompts)))
        bodies = [
            sample_body(name, prompts[place], seed, limits)
            for place in own
            for seed in (seeds[place] if self.settings.send_seeds else [None] * len(seeds[place]))
        ]
        answers = iter(self._read(asyncio.run(self._complete(bodies)), trunk, limits))
        drawn = {place: [next(answers) for _ in seeds[place]] for place in own}
        samples = all_gather_mapping(drawn)
        if self.settings.sleep:
            from_rank_zero(self._server.sleep)
        return [samples[place] for place in range(len(prompts))]

    def _refuse_other_base(self, trunk: Trunk) -> None:
        """Refuse a trunk whose adapters would be loaded onto another base."""
        name = str(trunk.language_model.name_or_path)
        if model_folder(name) != self.base:
            raise ValueError(f"the server samples for adapters on {self.base}, not on {name}")

    def close(self) -> None:
        """Unload the adapter, and remove its file; called on rank 0 alone, also after errors."""
        try:
            with self._files:
                self._unload()
        except EndpointError as error:
            logger.warning("an adapter stays loaded: %s", error)

    def _unload(self) -> None:
        if self._loaded:
            name, self._loaded, self._digest = self._loaded, "", ""
            shutil.rmtree(self._adapter_folder(name), ignore_errors=True)
            self._server.unload_adapter(name)

    def _adapter_folder(self, name: str) -> Path:
        if self._adapters is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._adapters = self._files.enter_context(scratch_folder(self.folder))
        return self._adapters / name

    def _connect(self) -> tuple[str, str]:
        """Return the name of the engine, and that of its base model."""
        if self.settings.sleep:
            self._server.wake()
        model, version = self._server.base_model(), self._server.version()
        # By the last part alone: a container may see a model that it serves elsewhere.
        if Path(model.root).name != self.base.name:
            raise ConfigError(
                f"sampling.engine: the server at {self._server.url} serves {model.root}, and the "
                f"policy stands on {self.base}; start it with --model {self.base}"
            )
        if self.settings.sleep:  # until it is needed
            self._server.sleep()
        return f"vllm {version}", model.name

    def _serve(
        self,
        trunk: Trunk,
        role: Role,
        prompts: Sequence[Sequence[int]],
        limits: SamplingLimits,
    ) -> str:
        """Return the name to request a role by, once the server has its weights."""
        if self.settings.sleep:
            self._server.wake()
        if limits.temperature not in self._checked:
            self._check_logprobs(prompts[0], limits.temperature)
        if role is Role.REFERENCE:
            return self._base_name
        name = f"solon-{self._session}-{self._versions + 1}"  # never used before
        folder = self._adapter_folder(name)
        folder.mkdir()
        trunk.roles.write(role, folder, self.base)
        with (folder / ADAPTER).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest == self._digest:
            shutil.rmtree(folder)
            return self._loaded
        self._versions += 1
        try:
            self._server.load_adapter(name, folder)
        except EndpointError:
            shutil.rmtree(folder)
            raise
        self._unload()
        self._loaded, self._digest = name, digest
        return name

    def _check_logprobs(self, prompt: Sequence[int], temperature: float) -> None:
        """Refuse a server that reports log-probabilities from before the temperature.

        Raises:
            ConfigError: If it does.
        """
        bodies = [probe_body(self._base_name, prompt, temperature * by) for by in (1, 2)]
        if reports_raw_logprobs(*asyncio.run(self._complete(bodies))):
            raise ConfigError(
                f"sampling.engine: the server at {self._server.url} reports log-probabilities from "
                "before the temperature; start it with --logprobs-mode processed_logprobs"
            )
        self._checked.add(temperature)

    def _read(self, replies: Sequence[bytes], trunk: Trunk, limits: SamplingLimits) -> list[Sample]:
        """Return the answer in each reply; one that cannot be used refuses all of them."""
        vocabulary = trunk.vocabulary
        try:
            return [read_sample(reply, limits, vocabulary) for reply in replies]
        except EndpointError as error:
            raise EndpointError(
                f"an answer of the vLLM server at {self._server.url} cannot be used, so none is "
                f"kept: {error}"
            ) from None

    async def _complete(self, bodies: Sequence[dict[str, Any]]) -> list[bytes]:
        """Return the reply to each request; the first failure for good ends all of them."""
        slots = asyncio.Semaphore(self.settings.concurrency)
        async with AsyncExitStack() as opened:
            clients = itertools.cycle(
                [
                    await opened.enter_async_context(self._client(each))
                    for each in http_clients(self.settings.concurrency)
                ]
            )
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._request(next(clients), slots, body))
                        for body in bodies
                    ]
            except ExceptionGroup as failures:
                first = failures.exceptions[0]
                if not isinstance(first, EndpointError):
                    raise first from None
                raise EndpointError(
                    f"the vLLM server at {self._server.url} left an answer out, so none is kept; "
                    f"run again once it serves: {first}"
                ) from None
        return [task.result() for task in tasks]

    async def _request(
        self, client: AsyncOpenAI, slots: asyncio.Semaphore, body: dict[str, Any]
    ) -> bytes:
        async def attempt() -> bytes:
            with client_errors([self._key or ""]):
                async with asyncio.timeout(self.settings.timeout_seconds):
                    reply = await client.post("/completions", cast_to=httpx2.Response, body=body)
            return reply.content

        async with slots:
            return await with_retries(attempt, self.settings.max_attempts)

    def _client(self, http_client: httpx2.AsyncClient) -> AsyncOpenAI:
        return AsyncOpenAI(
            base_url=f"{self._server.url}/v1",
            api_key=self._key or NO_KEY,
            timeout=self.settings.timeout_seconds,
            max_retries=0,
            http_client=http_client,
        )
