"""A cluster as a platform. Import `Kubernetes` from `harness.platform.kubernetes.platform`.

This package stays light: its agent runs inside the cluster with the standard library only.
"""
