"""Costly looks inside: the loss between models, exposed skeletons, what units are worth."""
