"""The faults, whatever the platform."""
