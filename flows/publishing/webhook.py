"""A webhook: the champion's facts as JSON, with a secret in a header."""

import json
import os

import httpx2

from flows.publishing.release import PublishError, Release
from rlhf_core.config.champion import WebhookSettings


def call_webhook(settings: WebhookSettings, release: Release) -> str:
    """Post the facts of a champion.

    Args:
        settings: Address and header.
        release: The champion.

    Returns:
        What was done, in words.

    Raises:
        PublishError: If the secret is missing, or the address does not answer with success.
    """
    headers = {"Content-Type": "application/json"}
    if settings.secret_variable is not None:
        headers[settings.header] = _secret(settings.secret_variable)
    body = json.dumps(release.facts, default=str, ensure_ascii=False).encode()
    try:
        reply = httpx2.post(
            settings.url, content=body, headers=headers, timeout=settings.timeout_seconds
        )
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise PublishError(f"the webhook did not answer ({type(error).__name__})") from None
    if not reply.is_success:
        raise PublishError(f"the webhook answered with status {reply.status_code}")
    return f"posted, status {reply.status_code}"


def _secret(variable: str) -> str:
    secret = os.environ.get(variable)
    if not secret:
        raise PublishError(
            f"the environment variable {variable}, which holds the webhook's secret, is not set"
        )
    return secret
