"""The gateway from end to end, with Orthanc as the PACS and a stand-in for the analyst."""
