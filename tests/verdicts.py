"""What a command that judges may end with where the machine, not the test, decides the verdict."""

VERDICTS = {0, 1, 3, 4}
"""Exit codes: it may be too busy for the service or for its measurement."""
