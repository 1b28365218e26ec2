"""The analyst's bundle in a MONAI Label server: surrogates are served, labelled, ranked and trained on."""
