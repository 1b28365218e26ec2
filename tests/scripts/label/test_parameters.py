"""What a client may set."""

from __future__ import annotations

import pytest

from fesf.scripts.label.labels import LabelError
from fesf.scripts.label.parameters import BATCH, PREDICTION, TRAINING, allowed, read


def test_no_parameter_names_an_image_a_file_or_a_command() -> None:
    """MONAI Label merges parameters over the request: ``image`` would replace the image that was asked for."""
    sent = {"image": "/plain.png", "images": ["/plain.png"], "model_filename": "../x.pt", "run_id": "x"}
    sent |= {"device": "cpu", "tracking_uri": "http://x", "multi_gpu": True, "max_epochs": 3, "label_tag": "../x"}
    assert allowed(sent, PREDICTION) == {"device": "cpu"}
    assert allowed(sent, BATCH) == {"device": "cpu"}
    assert allowed(sent, TRAINING) == {"device": "cpu", "max_epochs": 3}


@pytest.mark.parametrize(("text", "value"), [("", {}), ("{}", {}), ('{"device": "cpu"}', {"device": "cpu"})])
def test_a_forms_parameters(text: str, value: dict[str, str]) -> None:
    assert read(text) == value


@pytest.mark.parametrize("text", ["[1]", "null", "{", '"cpu"', "[" * 100_000])
def test_parameters_that_are_no_object(text: str) -> None:
    with pytest.raises(LabelError, match="params is no JSON object"):
        read(text)
