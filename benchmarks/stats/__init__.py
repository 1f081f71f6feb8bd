"""The statistics by Monte Carlo, with fixed seeds: `python -m benchmarks.stats`."""
