"""The networks of the course, written to be read."""
