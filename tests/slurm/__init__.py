"""Tests that run the workflow on a real SLURM cluster of three nodes on this machine."""
