"""Which units of a network may change places, and the order that matches another network."""
