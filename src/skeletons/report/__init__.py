"""The page that shows an experiment."""
