"""Costly inspections: the loss between models, exposed skeletons, the importance of units."""
