"""Artifacts: reading and writing, seals, recipes, the run cache, and code fingerprints."""
