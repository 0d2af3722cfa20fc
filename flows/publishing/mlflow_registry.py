"""MLflow: the champion's folder and figures become a run, and the run a model version."""

import os
from typing import Any

from flows.publishing.release import PublishError, Release
from rlhf_core.config.champion import MLflowSettings


def register(settings: MLflowSettings, release: Release) -> str:
    """Register a champion as a new version of a model.

    Args:
        settings: Name of the model, and address of the server.
        release: The champion.

    Returns:
        What was done, in words.

    Raises:
        PublishError: If MLflow is not installed, or refuses the model.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read at the import
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise PublishError("mlflow is not installed: pip install 'solon[mlflow]'") from None
    folder = release.need_folder()
    try:
        client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
        run = client.create_run(_experiment(client, release.line), run_name=release.model_id)
        client.log_artifacts(run.info.run_id, str(folder), "model")
        for row in release.facts["figures"]:
            if row["role"] == "decides" and row["win_rate"] is not None:
                client.log_metric(run.info.run_id, "win_rate", row["win_rate"])
                client.log_metric(run.info.run_id, "kl", row["kl"])
        client.set_terminated(run.info.run_id)
        if not client.search_registered_models(f"name = '{settings.model}'"):
            client.create_registered_model(settings.model)
        version = client.create_model_version(
            settings.model,
            source=f"{run.info.artifact_uri}/model",
            run_id=run.info.run_id,
            tags={"solon.line": release.line, "solon.model": release.model_id},
        )
    except MlflowException as error:
        raise PublishError(f"MLflow refused the model ({error.error_code})") from None
    return f"version {version.version} of {settings.model}"


def _experiment(client: Any, line: str) -> str:
    found = client.get_experiment_by_name(line)
    return str(found.experiment_id if found else client.create_experiment(line))
