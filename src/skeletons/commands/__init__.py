"""The command `skeletons`."""
