"""The analyst's MONAI Deploy app: surrogates as DICOM objects in, predictions out.

``app``, ``operators`` and ``stock`` import the App SDK, which has an environment of its own (``make deploy``); the rest
does without it.
"""
