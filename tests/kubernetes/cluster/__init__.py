"""A real Kubernetes for the tests: its own control plane and four real kubelets on one machine."""
