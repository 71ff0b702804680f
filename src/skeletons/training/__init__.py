"""Base models, and walks along the ridge."""
