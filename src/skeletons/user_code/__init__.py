"""User-defined functions: references to them, checks before a run, and loading."""
