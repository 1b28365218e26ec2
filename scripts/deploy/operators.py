"""The app's three operators, thin over what the other modules do; ``make deploy`` runs them.

An error is kept for the app to show, and nothing goes on to the next operator: Holoscan would print it amid a page of
its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from fesf.scripts.deploy.classifier import classify
from fesf.scripts.deploy.results import write_results
from fesf.scripts.deploy.surrogates import find_surrogates


class Step(Operator):
    """An operator that keeps its error in ``faults``.

    Args:
        fragment: the app.
        faults: list of the app's errors.
    """

    def __init__(self, fragment: Fragment, *args: Any, faults: list[Exception], **kwargs: Any) -> None:
        self.faults = faults
        super().__init__(fragment, *args, **kwargs)

    def attempt(self, work: Callable[[], Any]) -> Any:
        """What the work returns; None when it raised."""
        try:
            return work()
        except Exception as error:
            self.faults.append(error)
            return None


class ReadSurrogates(Step):
    """Emit the items of all surrogates of a folder, none where one file is none."""

    def __init__(self, fragment: Fragment, *args: Any, folder: str | Path, **kwargs: Any) -> None:
        self.folder = folder
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        spec.output("surrogates")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        items = self.attempt(lambda: find_surrogates(self.folder))
        if items is not None:
            op_output.emit(items, "surrogates")


class ClassifySurrogates(Step):
    """Emit what a bundle's classifier says of the surrogates."""

    def __init__(self, fragment: Fragment, *args: Any, bundle: str | Path, **kwargs: Any) -> None:
        self.bundle = bundle
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input("surrogates")
        spec.output("classified")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        items = op_input.receive("surrogates")
        classified = self.attempt(lambda: classify(self.bundle, items))
        if classified is not None:
            op_output.emit(classified, "classified")


class WriteResults(Step):
    """Write the table and the objects."""

    def __init__(self, fragment: Fragment, *args: Any, folder: str | Path, **kwargs: Any) -> None:
        self.folder = folder
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input("classified")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        classified = op_input.receive("classified")
        self.attempt(lambda: write_results(classified, self.folder))
