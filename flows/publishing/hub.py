"""A model hub: the champion's folder is pushed as one commit."""

import os

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from flows.publishing.release import PublishError, Release
from rlhf_core.config.champion import HubSettings
from rlhf_core.models.adapter_files import ADAPTER_CONFIG


def push(settings: HubSettings, release: Release, endpoint: str | None = None) -> str:
    """Push a champion to a repository, which is created, private, if it is missing.

    Args:
        settings: Repository and branch.
        release: The champion.
        endpoint: Address of the hub; None reads HF_ENDPOINT.

    Returns:
        What was done, in words.

    Raises:
        PublishError: If HF_TOKEN is missing, or the hub refuses the upload.
    """
    token, folder = os.environ.get("HF_TOKEN"), release.need_folder()
    if not token:
        raise PublishError("the environment variable HF_TOKEN is not set")
    # The adapter for this machine's servers names its SFT model, which the hub does not have.
    is_model = any((folder / name).exists() for name in ("config.json", ADAPTER_CONFIG))
    api = HfApi(endpoint=endpoint, token=token)
    try:
        api.create_repo(settings.repository, private=True, exist_ok=True)
        if settings.revision is not None:
            api.create_branch(settings.repository, branch=settings.revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=settings.repository,
            folder_path=folder,
            revision=settings.revision,
            commit_message=f"{release.line}: {release.model_id}",
            ignore_patterns=["adapter/*"] if is_model else None,
            delete_patterns="*.safetensors",
        )
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        raise PublishError(f"the hub refused the upload ({status})") from None
    except (OSError, ValueError) as error:
        raise PublishError(f"the upload to the hub failed ({type(error).__name__})") from None
    return f"commit {commit.oid} of {settings.repository}"
