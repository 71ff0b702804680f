"""Predictions: from weights and images to logits and features."""
