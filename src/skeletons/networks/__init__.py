"""Networks: the architectures, their sizes, and how channels flow through them."""
