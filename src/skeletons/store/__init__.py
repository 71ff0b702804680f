"""Files of results: how they are written and checked, what they were made from, and the run cache."""
