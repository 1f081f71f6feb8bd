"""Container images of this project."""
