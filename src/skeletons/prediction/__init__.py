"""From weights and images to logits and features."""
