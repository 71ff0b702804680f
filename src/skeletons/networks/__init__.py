"""Architectures, and how channels flow through them."""
