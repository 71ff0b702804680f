"""Training: base models, and walks along the ridge."""
