"""Sends four requests by batch in a separate process, which a test can kill.

python -m tests.rlhf_core.endpoints.ask_by_batch ADDRESS
"""

import sys

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints.endpoint import ChatRequest, Endpoint
from rlhf_core.records.conversation import ask

settings = EndpointSettings(
    model="m",
    base_url=sys.argv[1],
    api_key_env="NO_SUCH_KEY",
    delivery="batch",
    batch_poll_seconds=0.05,
)
requests = [ChatRequest(ask(f"question {number}").messages, 8, 0.5) for number in range(4)]
for reply in Endpoint(settings).complete(requests):
    print(getattr(reply, "text", reply))
