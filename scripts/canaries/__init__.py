"""Canaries: a made-up export of markers goes through every stage, and whatever leaves is searched for them."""
