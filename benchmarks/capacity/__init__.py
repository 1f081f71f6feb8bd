"""The capacity search against servers of known capacity: `python -m benchmarks.capacity`."""
