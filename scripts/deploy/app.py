"""The app as MONAI Deploy runs it: read, classify, write. ``make deploy`` runs it."""

from __future__ import annotations

from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application

from fesf.scripts.deploy.operators import ClassifySurrogates, ReadSurrogates, WriteResults


class SurrogateClassifier(Application):
    """A folder of surrogates in, ``predictions.csv`` and prediction objects out; ``faults`` holds what went wrong.

    Args:
        words: arguments as the SDK's parser takes them, without a program.
    """

    def __init__(self, words: list[str]) -> None:
        self.words, self.faults = words, list[Exception]()
        super().__init__()

    def compose(self) -> None:
        """Chain the operators over the folders of the app's arguments."""
        context: AppContext = Application.init_app_context(["", *self.words])
        read = ReadSurrogates(
            self, CountCondition(self, 1), folder=context.input_path, faults=self.faults, name="read_surrogates"
        )
        classify = ClassifySurrogates(self, bundle=context.model_path, faults=self.faults, name="classify_surrogates")
        write = WriteResults(self, folder=context.output_path, faults=self.faults, name="write_results")
        self.add_flow(read, classify, {("surrogates", "surrogates")})
        self.add_flow(classify, write, {("classified", "classified")})
