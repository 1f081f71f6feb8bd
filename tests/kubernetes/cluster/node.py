"""A node: containerd, kubelet and kube-proxy on a machine of its own."""

from __future__ import annotations

from pathlib import Path

from tests.kubernetes.cluster import proxy
from tests.kubernetes.cluster.images import PAUSE_IMAGE
from tests.kubernetes.cluster.machine import Machine, write_json
from tests.kubernetes.cluster.topology import DOMAIN, Place, Topology

SOCKET = "/run/containerd/containerd.sock"
PLUGINS = "/usr/lib/cni"
LEASE_S = 8
"""The kubelet renews its lease every quarter of this."""
CONTAINERD = f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
oom_score = 0
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# A machine without CAP_SYS_RESOURCE may not lower a score, and no sandbox would start.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "@CNI@"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"""


class Node(Machine):
    """The machine of `place`; `serves` appears when the API server answers."""

    def __init__(
        self,
        topology: Topology,
        place: Place,
        directory: Path,
        programs: Path,
        kubeconfigs: tuple[Path, Path],
        authority: Path,
        serves: Path,
    ) -> None:
        super().__init__(topology.prefix, place.name, directory)
        self.topology = topology
        self.place = place
        self.programs = programs
        kubelet, proxies = kubeconfigs
        config = self._containerd()
        self.unit("containerd", ["containerd", "--config", str(config)])
        up = f"[ -e {serves} ]"
        self.unit("kubelet", self._kubelet(kubelet, authority), after=f"[ -S {SOCKET} ] && {up}")
        settings = proxy.configuration(directory, proxies, topology)
        self.unit("kube-proxy", proxy.command(programs, settings, place.name), after=up)

    def _containerd(self) -> Path:
        """Write the configurations of containerd and of the pods' network.

        Every pod has a link of its own to its node (`ptp`), so that all traffic is routed and a
        Service works between two pods of one node without bridge filtering.
        """
        plugins = [
            {
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/pod-addresses",
                    "ranges": [[{"subnet": self.place.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ]
        network = self.directory / "cni" / "pods.conflist"
        write_json(network, {"cniVersion": "0.4.0", "name": "pods", "plugins": plugins})
        config = self.directory / "containerd.toml"
        config.write_text(CONTAINERD.replace("@CNI@", str(network.parent)))
        return config

    def _kubelet(self, kubeconfig: Path, authority: Path) -> list[str]:
        labels = ",".join(f"{key}={value}" for key, value in self.place.labels.items())
        config = write_json(
            self.directory / "kubelet.json",
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "address": self.place.address,
                "authentication": {
                    "anonymous": {"enabled": False},
                    "webhook": {"enabled": True},
                    "x509": {"clientCAFile": str(authority)},
                },
                "authorization": {"mode": "Webhook"},
                "cgroupDriver": "cgroupfs",
                "cgroupRoot": f"/{self.cgroup}",
                "clusterDNS": [self.topology.dns],
                "clusterDomain": DOMAIN,
                "containerRuntimeEndpoint": f"unix://{SOCKET}",
                "enforceNodeAllocatable": [],
                "evictionHard": {"memory.available": "100Mi"},
                "failSwapOn": False,
                "imageGCHighThresholdPercent": 100,
                "imageGCLowThresholdPercent": 99,
                "maxPods": 100,
                "nodeLeaseDurationSeconds": LEASE_S,
                "nodeStatusUpdateFrequency": "4s",
                "nodeStatusReportFrequency": "1m",
                "oomScoreAdj": 0,
                "resolvConf": "",
                "volumePluginDir": "/var/lib/kubelet/plugins-exec",
            },
        )
        return [
            str(self.programs / "kubelet"),
            f"--config={config}",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={self.name}",
            f"--node-ip={self.place.address}",
            f"--node-labels={labels}",
            "--root-dir=/var/lib/kubelet",
        ]

    def connect(self) -> None:
        """Give the link to the switch its address; route the other nodes' pods to them."""
        others = [each for each in self.topology.nodes if each.name != self.name]
        self.network(
            [
                "link set lo up",
                f"addr add {self.place.address}/24 dev eth0",
                "link set eth0 up",
                f"route add default via {self.topology.control}",
                *(f"route add {each.pods} via {each.address}" for each in others),
            ]
        )
        self.sysctl({"ipv4/ip_forward": "1", "ipv4/conf/all/send_redirects": "0"})
