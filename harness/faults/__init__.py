"""The faults, whatever the platform: per kind one module of `harness.faults.kinds`."""
