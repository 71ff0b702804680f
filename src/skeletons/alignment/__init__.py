"""Aligns the units of two networks: permutation symmetries and weight matching."""
