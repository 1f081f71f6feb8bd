"""kube-proxy, as every node runs it and the control plane's machine too."""

from __future__ import annotations

from pathlib import Path

from tests.kubernetes.cluster.machine import write_json
from tests.kubernetes.cluster.topology import Topology


def configuration(directory: Path, kubeconfig: Path, topology: Topology) -> Path:
    """Its configuration file, in nftables mode.

    The limits of connection tracking are the host's: zero leaves them alone.
    """
    return write_json(
        directory / "kube-proxy.json",
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "clusterCIDR": str(topology.pods),
            "detectLocalMode": "ClusterCIDR",
            "oomScoreAdj": 0,
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
            "nftables": {"minSyncPeriod": "100ms"},
        },
    )


def command(programs: Path, config: Path, node: str) -> list[str]:
    """Its command line, in the name of `node`."""
    return [str(programs / "kube-proxy"), f"--config={config}", f"--hostname-override={node}"]
