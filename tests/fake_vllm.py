"""A server with vLLM's protocol that samples with Solon's own sampler, so that numbers can agree.

    python -m tests.fake_vllm --model FOLDER --port PORT --max-lora-rank RANK

As a process it stands in for vLLM's server, and takes its other options too.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from rlhf_core.config.engine import EngineSettings
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.local import Sample, SamplingLimits, sample
from tests.conftest import FP32
from tests.servers import ManyAtATime, QuietHandler

RANK = 4
Reply = tuple[int, Any]
OK = {"/v1/load_lora_adapter": (200, "loaded"), "/v1/unload_lora_adapter": (200, "unloaded")}


class FakeVLLM:
    """The state of a server: its model, its adapters, and what it was asked.

    Args:
        model: Folder or name of the model.
        root: Folder that it says it serves; None for that of the model.
        rank: LoRA rank of its adapters.
    """

    def __init__(self, model: str, root: str | None = None, rank: int = RANK) -> None:
        self.trunk: Trunk = open_trunk(model, FP32, rank)
        self.trunk.add_role(Role.SFT, 1)  # a trunk keeps one adapter at least
        self.root = root or model
        self.calls: list[tuple[str, Any]] = []
        """Path and body of each POST."""
        self.refuse: Callable[[str, Any], Reply | None] = _refuse_nothing
        """Returns another reply than the right one."""
        self.shift = 0.0
        """Added to each log-probability that is reported."""
        self.ignores_temperature = False
        """True to report log-probabilities from before the temperature, as vLLM's raw mode does."""
        self.sends_half = False
        """True to close the connection in the middle of each completion."""
        self._roles: dict[str, Role] = {}
        self._free: list[Role] = [role for role in Role if role not in (Role.REFERENCE, Role.SFT)]
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Unload all adapters, and answer as a new server would."""
        for name in list(self._roles):
            self.post("/v1/unload_lora_adapter", {"lora_name": name})
        self.calls.clear()
        self.refuse, self.shift = _refuse_nothing, 0.0
        self.ignores_temperature = self.sends_half = False

    def bodies(self, path: str) -> list[Any]:
        """Return the bodies of the requests to a path."""
        return [body for called, body in self.calls if called == path]

    def get(self, path: str) -> Reply:
        base = {"id": "base", "root": self.root, "parent": None}
        adapters = [{"id": name, "root": "", "parent": "base"} for name in self._roles]
        return {
            "/v1/models": (200, {"data": [*adapters, base]}),
            "/version": (200, {"version": "0.0.fake"}),
            "/health": (200, {}),
        }.get(path, (404, {"detail": "Not Found"}))

    def post(self, path: str, body: Any) -> Reply:
        with self._lock:
            self.calls.append((path, body))
            if refusal := self.refuse(path, body):
                return refusal
            if path == "/v1/load_lora_adapter":
                role = self._free.pop(0)
                self.trunk.roles.read(role, Path(body["lora_path"]))
                self._roles[body["lora_name"]] = role
            elif path == "/v1/unload_lora_adapter":
                self._free.append(self._roles.pop(body["lora_name"]))
                self.trunk.roles.remove(self._free[-1])
            elif path == "/v1/completions":
                return 200, self._complete(body)
            return OK.get(path, (200, {}))

    def _complete(self, body: Mapping[str, Any]) -> Any:
        role = Role.REFERENCE if body["model"] == "base" else self._roles[body["model"]]
        limits = SamplingLimits(
            body["max_tokens"],
            body["temperature"],
            frozenset(body.get("stop_token_ids", [])),
            self.trunk.pad_id,
        )
        with self.trunk.acting_as(role) as model:
            ((answer,),) = sample(model, [body["prompt"]], [[body.get("seed", 0)]], limits, 2048)
        reason = "stop" if answer.finish_reason == "eos" else "length"
        return {
            "choices": [
                {
                    "text": "",
                    "finish_reason": reason,
                    "token_ids": list(answer.token_ids),
                    "logprobs": self._logprobs(answer, body),
                }
            ]
        }

    def _logprobs(self, answer: Sample, body: Mapping[str, Any]) -> Any:
        """Return log-probabilities; a probe's two first tokens are 1 nat apart at temperature 1."""
        lead = 1.0 if self.ignores_temperature else 1.0 / body["temperature"]
        tops = [{"token_id:5": -0.5, "token_id:6": -0.5 - lead}] if body["logprobs"] else None
        shifted = [number + self.shift for number in answer.logprobs]
        return {"token_logprobs": shifted, "top_logprobs": tops}


def _refuse_nothing(path: str, body: Any) -> Reply | None:
    return None


def serve(fake: FakeVLLM, port: int = 0) -> ManyAtATime:
    """Return an HTTP server in a thread that answers as the fake does."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self._reply(*fake.get(self.path))

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            content = self.rfile.read(length)
            self._reply(*fake.post(self.path, json.loads(content) if content else None))

        def _reply(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            is_cut = fake.sends_half and self.path == "/v1/completions"
            self.wfile.write(content[: len(content) // 2] if is_cut else content)

    server = ManyAtATime(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


@contextmanager
def serve_here(settings: EngineSettings, base: Path, lora_rank: int, log: Path) -> Iterator[str]:
    """Stand in for `vllm_server`, without a process of its own."""
    server = serve(FakeVLLM(str(base), rank=lora_rank))
    with closing(server.socket):
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def main() -> None:
    options = dict(zip(sys.argv[1:], sys.argv[2:], strict=False))
    fake = FakeVLLM(options["--model"], rank=int(options["--max-lora-rank"]))
    serve(fake, int(options["--port"]))
    threading.Event().wait()


if __name__ == "__main__":
    main()
