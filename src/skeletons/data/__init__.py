"""Data sets: build one file of images from any source, and read it."""
