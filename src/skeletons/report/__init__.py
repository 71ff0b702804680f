"""The report: the results of an experiment on one page for a browser."""
