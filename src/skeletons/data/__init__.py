"""Images from any source to one file, and back."""
