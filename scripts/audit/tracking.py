"""The scores of an audit in MLflow, of a hospital that names its own server.

Off unless an address is given, whatever ``MLFLOW_TRACKING_URI`` says: what an attack gets is the hospital's own finding
about its patients, and a variable of the environment may point to somebody else's server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXPERIMENT = "fesf audit"


def log_scores(uri: str, results: Mapping[str, Mapping[str, Any]], manifest_sha256: str) -> None:
    """One run: value and interval of every attack on every condition. No id, no pixel, no path, no recipe.

    Args:
        uri: of the tracking server or database.
        results: by the attacks' names.
        manifest_sha256: digest of the store's manifest, a tag: the store itself holds it.

    Raises:
        ValueError: when MLflow is not installed.
    """
    try:
        from mlflow import MlflowClient
    except ImportError:
        raise ValueError("MLflow is not installed: pip install 'fesf[tracking]', or leave mlflow_uri out.") from None
    client = MlflowClient(uri)
    known = client.get_experiment_by_name(EXPERIMENT)
    experiment = known.experiment_id if known else client.create_experiment(EXPERIMENT)
    run = client.create_run(experiment, tags={"fesf.store": manifest_sha256}).info.run_id
    for name, result in results.items():
        for condition, found in result["conditions"].items():
            for key in ("value", "low", "high", "chance"):
                client.log_metric(run, f"{name}.{condition}.{key}", found[key])
        for key in ("claimed", "right", "wrong") if "linked" in result else ():
            client.log_metric(run, f"{name}.linked.{key}", result["linked"][key])
    client.set_terminated(run)
