"""Load, chaos and performance testing for a platform of services.

One package per stage of a run; see docs/contracts.md for what each hands to the next.
"""

__version__ = "0.1.0"
