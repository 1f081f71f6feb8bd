"""The control plane: etcd, API server, controller manager and scheduler on one machine.

The machine is also the switch that every node is plugged into, and the way from the host to the
Service addresses (as a cloud's load balancer is): it runs a kube-proxy of its own.
"""

from __future__ import annotations

from pathlib import Path

from tests.kubernetes.cluster import proxy
from tests.kubernetes.cluster.machine import Machine
from tests.kubernetes.cluster.pki import Authority, Users, signing_key
from tests.kubernetes.cluster.topology import DOMAIN, Topology

NAME = "control"
PORT = 6443
BRIDGE = "switch"
GRACE_S = 16
"""A node that is silent for so long is not ready (50 by default, too long for many tests)."""


class Control(Machine):
    """The machine with the control plane; `admin` is the administrator's kubeconfig."""

    def __init__(self, topology: Topology, directory: Path, programs: Path) -> None:
        super().__init__(topology.prefix, NAME, directory)
        self.topology = topology
        self.programs = programs
        self.serves = directory / "serves"
        self.keys = directory.parent / "keys"
        self.keys.mkdir(parents=True)
        self.server = f"https://{topology.control}:{PORT}"
        self.authority = Authority(self.keys, "cluster-authority")
        self.users = Users(self.keys, self.server, self.authority.file)
        self.admin = self.users.add("admin", "system:masters")
        self.kubelets = {
            place.name: self.users.add(f"system:node:{place.name}", "system:nodes")
            for place in topology.nodes
        }
        self.proxies = self.users.add("system:kube-proxy")
        self._issue()
        self._describe()

    def _issue(self) -> None:
        service = "kubernetes.default.svc"
        self.authority.issue(
            "apiserver",
            "kube-apiserver",
            hosts=("localhost", "kubernetes.default", service, f"{service}.{DOMAIN}"),
            addresses=("127.0.0.1", self.topology.control, str(self.topology.services[1])),
        )
        self.authority.issue("kubelet-client", "kube-apiserver", "system:masters")
        Authority(self.keys, "front-authority").issue("front-client", "front-proxy-client")
        signing_key(self.keys, "service-accounts")

    def _describe(self) -> None:
        bound = "grep -q ' 0A ' /proc/net/tcp"  # etcd, the only listener so far, listens
        self.unit("etcd", self._etcd())
        self.unit("kube-apiserver", self._apiserver(), after=bound)
        common = ["--leader-elect=false", "--bind-address=127.0.0.1"]
        common += ["--kube-api-qps=200", "--kube-api-burst=400"]  # the default takes 3 s to start
        up = f"[ -e {self.serves} ]"
        controllers = self.users.add("system:kube-controller-manager")
        self.unit(
            "kube-controller-manager",
            [
                *(str(self.programs / "kube-controller-manager"), *common),
                f"--kubeconfig={controllers}",
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={self.keys}/service-accounts.key",
                f"--root-ca-file={self.authority.file}",
                "--controllers=*,-nodeipam,-node-route-controller,-cloud-node-lifecycle-controller",
                "--node-monitor-period=1s",
                f"--node-monitor-grace-period={GRACE_S}s",
                "--horizontal-pod-autoscaler-sync-period=5s",
                "--horizontal-pod-autoscaler-cpu-initialization-period=30s",
                "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
            ],
            after=up,
        )
        scheduler = self.users.add("system:kube-scheduler")
        self.unit(
            "kube-scheduler",
            [str(self.programs / "kube-scheduler"), *common, f"--kubeconfig={scheduler}"],
            after=up,
        )
        config = proxy.configuration(self.directory, self.proxies, self.topology)
        name = self.topology.nodes[0].name  # it borrows a node's identity, being none itself
        self.unit("kube-proxy", proxy.command(self.programs, config, name), after=up)

    def _etcd(self) -> list[str]:
        local = "http://127.0.0.1"
        return [
            str(self.programs / "etcd"),
            "--data-dir=/var/lib/etcd",
            f"--listen-client-urls={local}:2379",
            f"--advertise-client-urls={local}:2379",
            f"--listen-peer-urls={local}:2380",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _apiserver(self) -> list[str]:
        keys = self.keys
        return [
            str(self.programs / "kube-apiserver"),
            "--etcd-servers=http://127.0.0.1:2379",
            f"--bind-address={self.topology.control}",
            f"--advertise-address={self.topology.control}",
            f"--secure-port={PORT}",
            f"--tls-cert-file={keys}/apiserver.crt",
            f"--tls-private-key-file={keys}/apiserver.key",
            f"--client-ca-file={self.authority.file}",
            f"--token-auth-file={self.users.file}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--service-cluster-ip-range={self.topology.services}",
            f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
            f"--service-account-key-file={keys}/service-accounts.pub",
            f"--service-account-signing-key-file={keys}/service-accounts.key",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-client-certificate={keys}/kubelet-client.crt",
            f"--kubelet-client-key={keys}/kubelet-client.key",
            f"--requestheader-client-ca-file={keys}/front-authority.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={keys}/front-client.crt",
            f"--proxy-client-key-file={keys}/front-client.key",
            "--enable-aggregator-routing=true",
            "--allow-privileged=true",
            "--profiling=false",
        ]

    def connect(self) -> None:
        """Plug in: the switch, the address, forwarding."""
        self.network(
            [
                "link set lo up",
                f"link add {BRIDGE} type bridge",
                f"addr add {self.topology.control}/24 dev {BRIDGE}",
                f"link set {BRIDGE} up",
            ]
        )
        self.sysctl({"ipv4/ip_forward": "1", "ipv4/conf/all/send_redirects": "0"})
        self.sysctl({f"ipv4/conf/{BRIDGE}/send_redirects": "0"})

        routes = [f"route add {each.pods} via {each.address}" for each in self.topology.nodes]
        self.network(routes)

    def plug(self, port: str, end: str) -> None:
        """A cable from the switch's `port` to `end`, as `ip link` describes a peer's."""
        self.network(
            [
                f"link add port-{port} type veth peer name {end}",
                f"link set port-{port} master {BRIDGE} up",
            ]
        )

    def admit(self) -> None:
        """Let the rest of the control plane and the kubelets start: the API server answers."""
        self.serves.touch()
