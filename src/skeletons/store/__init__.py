"""Files of results: writing and checking them, what they were made from, and the run cache."""
