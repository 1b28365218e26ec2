"""Which MLflow server a run goes to, and the handlers that log to one run of it.

MONAI's MLFlowHandler lets ``MLFLOW_TRACKING_URI`` override what was asked for, and without a run name it goes on in
whatever unfinished run it finds, be it somebody else's. Here an address that was named counts before the variable, in
the hospital's workflows the variable does not count at all, and a training's engines share one run of their own.
"""

from __future__ import annotations

import atexit
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from ignite.engine import Engine
from monai.handlers import MLFlowHandler

URI_VARIABLE = "MLFLOW_TRACKING_URI"


def choose_uri(local_uri: str, tracking_uri: str | None = None, hospital: bool = False) -> str:
    """Where to log: the address that was named, else the environment's (never a hospital's), else a local database.

    Args:
        local_uri: SQLite database beside the results.
        tracking_uri: what the user named.
        hospital: whether the workflow reads patients' images.
    """
    return tracking_uri or (None if hospital else os.environ.get(URI_VARIABLE)) or local_uri


def refuse_other_servers(handlers: Sequence[Any] | None) -> None:
    """Refuse MONAI's own MLflow handler where the environment would send a hospital's figures elsewhere.

    Args:
        handlers: of an engine in the hospital.

    Raises:
        ValueError: when ``MLFLOW_TRACKING_URI`` is set and one of them heeds it.
    """
    heeds = any(isinstance(item, MLFlowHandler) and not isinstance(item, TrackingHandler) for item in handlers or ())
    if heeds and os.environ.get(URI_VARIABLE):
        raise ValueError(
            f"{URI_VARIABLE} is set, and a workflow of the hospital logs to no server that was not named: unset it, or"
            " pass --tracking bundle/configs/mlflow.json (with --tracking_uri to name a server)."
        )


class Record(Protocol):
    """What is logged of a training beside its metrics."""

    def begin(self, client: Any, run_id: str) -> None:
        """Called when the run starts."""

    def end(self, client: Any, run_id: str) -> None:
        """Called when the training is complete, before the run is."""


class TrackedRun:
    """One run of MLflow, which the engines of a workflow share; it starts with the first and ends with it.

    Args:
        local_uri, tracking_uri, hospital: see :func:`choose_uri`.
        experiment_name: name of the experiment; made when missing.
        run_name: None gives one by date and time.
    """

    def __init__(
        self,
        local_uri: str,
        tracking_uri: str | None = None,
        hospital: bool = False,
        experiment_name: str = "fesf",
        run_name: str | None = None,
    ) -> None:
        self.uri = choose_uri(local_uri, tracking_uri, hospital)
        self.experiment_name = experiment_name
        self.run_name = run_name or f"{time.strftime('%Y%m%d_%H%M%S')}_{uuid.uuid4().hex[:6]}"
        self.owner: TrackingHandler | None = None
        self.info: Any = None

    def start(self, handler: TrackingHandler) -> Any:
        """The run, made by the first handler that asks."""
        if self.info is None:
            self.owner = handler
            experiment: Any = handler.experiment
            self.info = handler.client.create_run(experiment_id=experiment.experiment_id, run_name=self.run_name)
            atexit.register(self.end, "FAILED")  # an error or an interrupt: no run stays open
        return self.info

    def end(self, status: str) -> None:
        """End the run, if it is not yet."""
        if self.info is not None and self.owner is not None:
            client, run_id, self.info = self.owner.client, self.info.info.run_id, None
            try:
                client.set_terminated(run_id, status)
            except Exception:  # of an interrupted run the first error counts
                if status != "FAILED":
                    raise


class TrackingHandler(MLFlowHandler):
    """MONAI's handler on a :class:`TrackedRun`: metrics of each epoch, and of the training a record.

    Args:
        run: the run.
        record: what else to log, when this handler is the one that starts the run; None for nothing.

    Raises:
        ValueError: when MLflow is not installed, or the address is a folder.
    """

    def __init__(self, run: TrackedRun, record: Record | None = None) -> None:
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise ValueError(
                "MLflow is not installed: pip install 'fesf[tracking]', or leave --tracking out."
            ) from None
        with _without_variable():
            super().__init__(
                tracking_uri=run.uri,
                experiment_name=run.experiment_name,
                iteration_log=False,
                close_on_complete=True,
            )
        self.client = MlflowClient(run.uri, registry_uri=run.uri)
        self.run, self.record = run, record

    @property
    def owns(self) -> bool:
        """Whether this handler started the run."""
        return self.run.owner is self

    def start(self, engine: Engine) -> None:
        self._set_experiment()
        self.cur_run: Any = self.run.start(self)
        if self.owns:
            length = {name: getattr(engine.state, name) for name in self.default_tracking_params}
            self._log_params(length)
            if self.record is not None:
                self.record.begin(self.client, self.cur_run.info.run_id)

    def complete(self) -> None:
        if self.owns and self.record is not None and self.cur_run is not None:
            self.record.end(self.client, self.cur_run.info.run_id)

    def close(self) -> None:
        if self.owns:
            self.run.end(self.run_finish_status)
        self.cur_run = None
        self._dispose_sqlite_store()


@contextmanager
def _without_variable() -> Iterator[None]:
    """MONAI's handler without its bow to the environment: the address was chosen before."""
    kept = os.environ.pop(URI_VARIABLE, None)
    try:
        yield
    finally:
        if kept is not None:
            os.environ[URI_VARIABLE] = kept
