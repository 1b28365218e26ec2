"""What the App SDK's own operators make of surrogates, to show why the app has operators of its own.

``python -m fesf.scripts.deploy.stock IN MODEL dicom|memory`` prints JSON; ``make deploy`` runs it. With "dicom" the
SDK's loader, selector and volume operator read the folder and its MonaiBundleInferenceOperator infers. With "memory"
that operator is given the images one after the other, as arrays without metadata, so that only its own part is seen.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fesf.scripts.deploy.runtime import prepare

prepare()  # before MONAI is imported

from monai.deploy.conditions import CountCondition  # noqa: E402
from monai.deploy.core import Application, Image, IOType, Operator, OperatorSpec  # noqa: E402
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator  # noqa: E402
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator  # noqa: E402
from monai.deploy.operators.dicom_series_to_volume_operator import DICOMSeriesToVolumeOperator  # noqa: E402
from monai.deploy.operators.monai_bundle_inference_operator import (  # noqa: E402
    IOMapping,
    MonaiBundleInferenceOperator,
)

from fesf.scripts.deploy.surrogates import find_surrogates, read_surrogate  # noqa: E402


class _Source(Operator):
    """Emits one image a tick, without metadata."""

    items: list[dict[str, str]]

    def setup(self, spec: OperatorSpec) -> None:
        spec.output("image")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        op_output.emit(Image(read_surrogate(self.items.pop(0)["image"])[1].numpy()), "image")


class _Sink(Operator):
    """Keeps what the operator before it says."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.found: list[dict[str, Any]] = []
        super().__init__(*args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input("pred")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        said = op_input.receive("pred")
        self.found.append({"result": said["result"], "probabilities": said["probabilities"].tolist()})


class StockApp(Application):
    """The SDK's operators in a row."""

    def __init__(self, source: Path, model: Path, dicom: bool) -> None:
        self.source, self.model, self.dicom = source, model, dicom
        super().__init__()

    def compose(self) -> None:
        # Without the model's folder: given one, the SDK makes a model of it that cannot predict.
        context = Application.init_app_context(["", "-i", str(self.source), "-l", "ERROR"])
        infer = MonaiBundleInferenceOperator(
            self,
            app_context=context,
            input_mapping=[IOMapping("image", Image, IOType.IN_MEMORY)],
            output_mapping=[IOMapping("pred", dict, IOType.IN_MEMORY)],
            bundle_path=self.model,
            name="infer",
        )
        self.sink = _Sink(self, name="sink")
        if self.dicom:
            load = DICOMDataLoaderOperator(self, CountCondition(self, 1), input_folder=self.source, name="load")
            select = DICOMSeriesSelectorOperator(self, rules="", name="select")
            first: Operator = DICOMSeriesToVolumeOperator(self, name="volume")
            self.add_flow(load, select, {("dicom_study_list", "dicom_study_list")})
            self.add_flow(select, first, {("study_selected_series_list", "study_selected_series_list")})
        else:
            items = find_surrogates(self.source)
            first = _Source(self, CountCondition(self, len(items)), name="source")
            first.items = items
        self.add_flow(first, infer, {("image", "image")})
        self.add_flow(infer, self.sink, {("pred", "pred")})


def main(arguments: list[str]) -> None:
    """Print what came out, in the order of ids, or the error's class and text."""
    app = StockApp(Path(arguments[0]), Path(arguments[1]), arguments[2] == "dicom")
    try:
        app.run()
        print(json.dumps({"found": app.sink.found}))
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))


if __name__ == "__main__":
    main(sys.argv[1:])
