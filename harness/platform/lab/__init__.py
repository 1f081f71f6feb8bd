"""The embedded lab: regions, replicas, databases and edges in a private network namespace.

Import `Lab` from `harness.platform`; this package stays light, since each replica loads it.
"""
