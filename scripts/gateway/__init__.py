"""The hospital's DICOM gateway: studies in, surrogates out to the analyst, predictions back into the PACS."""
