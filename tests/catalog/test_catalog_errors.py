"""A malformed description is refused in one line that names file, line, field and remedy."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.catalog import load_catalog, project_root
from harness.catalog.load import read_service
from harness.errors import CatalogError

GOOD = (Path(__file__).parent / "complete" / "memorai.yaml").read_text()
DOCUMENTS = list(yaml.load_all(GOOD, yaml.CSafeLoader))

Refusal = Callable[[str | bytes], str]


@pytest.fixture
def refusal(tmp_path: Path) -> Refusal:
    """Write memorai.yaml and give the one line with which it is refused."""

    def refuse(content: str | bytes) -> str:
        path = tmp_path / "memorai.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(CatalogError) as caught:
            read_service(path)
        line = str(caught.value)
        assert "\n" not in line
        assert line.startswith(str(path))
        return line.removeprefix(str(path))

    return refuse


def line_of(text: str, part: str) -> int:
    """The number of the first line with `part`."""
    return text[: text.index(part)].count("\n") + 1


def edited(old: str, new: str) -> str:
    """The good file with one thing changed."""
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def test_the_good_file_is_accepted(tmp_path: Path) -> None:
    """Otherwise the refusals below would show nothing."""
    path = tmp_path / "memorai.yaml"
    path.write_text(GOOD)
    assert read_service(path).name == "memorai"


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("port: 3001", "port: 0", "spec.port: "),
        ("port: 3001", "port: 65536", "spec.port: "),
        ("port: 3001", 'port: "3001"', "spec.port: "),
        ("port: 3001", "port: 3001.0", "spec.port: "),
        ("port: 3001", "port: true", "spec.port: "),
        ("port: 3001", "port:", "spec.port: "),
        ("port: 3001", "ports: 3001", "spec.port: missing"),
        ("tier: foundation", "tier: gold", "spec.tier: "),
        ("replicas: 3", "replicas: 0", "spec.replicas: "),
        ("replicas: 3", "replicas: -1", "spec.replicas: "),
        ("cpu: 2", "cpu: .nan", "spec.resources.cpu: "),
        ("cpu: 2", "cpu: .inf", "spec.resources.cpu: "),
        ("cpu: 2", f"cpu: {'9' * 400}", "spec.resources.cpu: "),
        ("memory: 4Gi", "memory: 4GB", "spec.resources.memory: "),
        ("healthPath: /health", "healthPath: health", "spec.healthPath: "),
        ("coreApplication: true", "coreApplication: maybe", "spec.coreApplication: "),
        ("us-east-1: active", "us-east-1: idle", "spec.regions.us-east-1: "),
        ("us-east-1: active", "us-east-1: cold", "the first of regions must be active"),
        ("us-east-1: active", "US EAST: active", "spec.regions.US EAST"),
        ('baseUrl: "http://mem', 'baseUrl: "mem', "spec.environments.0.baseUrl: "),
        ("namespace: codai-staging", "namespace: 7", "spec.environments.1.namespace: "),
        ("name: staging", "name: development", "environments holds 'development' twice"),
        ("production: true", "production: yep", "spec.environments.2.production: "),
        ("name: staging", "name: staging, pods: {label: {}}", "1.pods.label: unknown field"),
        ("name: staging", "name: staging, pods: {limits: {cpu: 1}}", "1.pods.limits.cpu: not a"),
        ("name: staging", "name: staging, pods: {limits: {gpu: x}}", "1.pods: limits: no resource"),
        ("path: /api/stats,", "path: api/stats,", "spec.routes.8.path: "),
        ("path: /api/stats,", "path: '/api/{stats',", "spec.routes.8.path: "),
        ("path: /api/stats,", "path: /api/memory/recall,", "'/api/memory/recall' twice"),
        ("name: statsItem", "name: stats", "routes holds 'stats' twice"),
        ("methods: [GET, POST]", "methods: []", "spec.routes.0.methods: "),
        ("methods: [GET, POST]", "methods: GET", "spec.routes.0.methods: "),
        ("methods: [GET, POST]", "methods: [GET, FETCH]", "spec.routes.0.methods.1: "),
        ("methods: [GET, POST]", "methods: [GET, GET]", "routes.0.methods holds 'GET' twice"),
        ("tier: foundation", "tier: foundation\n  colour: red", "spec.colour: unknown field"),
        ("value: 0.1,", "value: -0.1,", "spec.objectives.0.value: "),
        ("value: 0.1,", "value: .nan,", "spec.objectives.0.value: "),
        ("value: 0.1,", "value: .inf,", "spec.objectives.0.value: "),
        ("value: 0.1,", f"value: {'9' * 400},", "spec.objectives.0.value: "),
        ("value: 0.1,", "value: 0,", "spec.objectives.0.value: "),
        ("value: 0.1,", "valu: 0.1,", "spec.objectives.0.valu: unknown field"),
        ("value: 0.1, ", "", "objectives.0 of latency needs op lt and a value"),
        ("op: lt,", "op: gt,", "objectives.0 of latency needs op lt and a value"),
        ("op: gte,", "op: lt,", "objectives.0 of throughput needs op gt and a value"),
        ("target: 0.999}", "target: 99.9}", "spec.objectives.0.target: "),
        ("target: 0.999}", "target: 0.999, value: 1}", "error_ratio is a ratio"),
        ("timeSliceTarget: 0.95, ", "", "Timeslices need objectives.0.timeSliceTarget"),
        ('quantile: "0.95"', "quantile: 0.95", "annotations.harness.codai/quantile: "),
        ('quantile: "0.95"', 'quantile: "95"', "annotations needs harness.codai/quantile"),
        ('quantile: "0.95"', 'quantile: "p95"', "annotations needs harness.codai/quantile"),
        ("        bad:\n", "        god:\n", "ratioMetric.god: unknown field"),
        ("        counter: true\n", "        counter: 1\n", "ratioMetric.counter: "),
        ("      thresholdMetric:\n", "      rationMetric:\n", "rationMetric: unknown field"),
        ("name: latency", "name: speed", "spec.indicator.metadata.name: "),
        ("displayName: memorai", "displayname: memorai", "metadata.displayname: unknown field"),
        ("displayName: memorai", "name: other", "'name' stands twice"),
        ("port: 3001", "port: 3001\n  port: 3002", "'port' stands twice"),
        ("name: memorai\n", "name: 2026-11-24\n", "metadata.name: "),
        ("name: memorai\n", "name: [memorai]\n", "metadata.name: "),
    ],
)
def test_a_wrong_field_is_named_with_its_line(
    refusal: Refusal, old: str, new: str, field: str
) -> None:
    """Wrong type, out of range, missing, unknown, duplicate: each tells where it stands."""
    message = refusal(edited(old, new))
    assert field in message
    assert re.match(r":\d+: ", message)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("port: 3001", "port: 0"),
        ("replicas: 3", "replicas: 0"),
        ("value: 10000", "value: -10000"),
        ("name: staging", "name: Staging!"),
        ("path: /api/stats,", "path: stats,"),
        ("tier: foundation", "tier: foundation\n  colour: red"),
        ("port: 3001", "port: 3001\n  port: 3002"),
    ],
)
def test_the_line_named_is_the_line_of_the_fault(refusal: Refusal, old: str, new: str) -> None:
    """An editor can be sent to it."""
    text = edited(old, new)
    fault = new.rpartition("\n")[2].strip() if "\n" in new else new
    assert refusal(text).startswith(f":{line_of(text, fault)}: ")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", ": the file is empty"),
        ("# nothing but a comment\n", ": the file is empty"),
        ("---\n---\n", ": the file is empty"),
        ("- a\n- b\n", ":1: a list, not a mapping"),
        ("just words", ":1: a str, not a mapping"),
        ("a: b\n c: d\n", ":2: mapping values are not allowed in this context"),
        ("a: [1, 2", ":2: did not find expected ',' or ']'"),
        ("a: \tb: c\n", ":1: "),
        ("a: \x00", ":1: control characters are not allowed"),
        ("a: *nowhere", ":1: found undefined alias"),
        ("a: &a [*a]", "its aliases stand for too many values"),
        ("a: !!python/object/apply:os.system [ls]", ":1: could not determine a constructor"),
        ("a: 2026-02-31", ": day is out of range"),
        ("? [a]\n: b", ":1: found unhashable key"),
        ("a: !!str {b: c}", ":1: expected a scalar node, but found mapping"),
        ("1: 2", ":1: kind 'None'"),
        (GOOD.replace("kind: Target", "kind: Aim"), "kind 'Aim' of apiVersion"),
        (GOOD.replace("openslo/v1", "openslo/v9"), ":2: kind 'Service' of apiVersion"),
        (b"a: \xff\xfe", ":1: byte 0xff is not UTF-8"),
        (b"a: b\nc: \xe9\n", ":2: byte 0xe9 is not UTF-8"),
        ("[" * 100_000, ": nested too deeply"),
        ("[" * 3_000 + "]" * 3_000, ": nested too deeply"),
        ("- " * 100_000, ": nested too deeply"),
        ("a: " + "x" * (1 << 20), ": larger than 1 MiB"),
    ],
)
def test_a_file_that_is_no_description_is_told_as_such(
    refusal: Refusal, content: str | bytes, problem: str
) -> None:
    """Syntax, encoding, emptiness, size, foreign kinds, tricks of the format."""
    assert problem in refusal(content)


def test_aliases_nested_into_billions_are_refused_at_once(refusal: Refusal) -> None:
    """The classic bomb: each level refers ten times to the one before."""
    lines = ["a0: &a0 lol"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    assert "its aliases stand for too many values" in refusal("\n".join(lines))


def test_a_ratio_has_one_side_and_an_indicator_one_metric(refusal: Refusal) -> None:
    """What is neither good nor bad, or has two metrics, cannot be counted."""
    bad = GOOD[GOOD.index("        bad:\n") : GOOD.index("        total:\n")]
    assert "state either good or bad, not both" in refusal(edited(bad, ""))
    assert "state either good or bad, not both" in refusal(
        edited(bad, bad + bad.replace("bad:", "good:"))
    )
    ratio = GOOD[GOOD.index("      ratioMetric:\n") : GOOD.index("  timeWindow", GOOD.index(bad))]
    assert "state either thresholdMetric or ratioMetric" in refusal(edited(ratio, "      {}\n"))


def test_a_second_service_in_one_file_is_refused(refusal: Refusal) -> None:
    """Nobody could say which one is meant."""
    assert "2 documents of kind Service" in refusal(f"{GOOD}\n---\n{GOOD}")


@pytest.mark.parametrize("kind", ["Service", "Target", "SLO"])
def test_a_missing_document_is_named(refusal: Refusal, kind: str) -> None:
    """All three kinds are needed."""
    documents = [part for part in GOOD.split("---\n") if f"kind: {kind}\n" not in part]
    assert f" of kind {kind}" in refusal("---\n".join(documents))


def test_a_target_or_slo_of_another_service_is_refused(refusal: Refusal) -> None:
    """A copy that was not finished."""
    assert "spec.service is 'codai'" in refusal(edited("service: memorai", "service: codai"))
    text = GOOD.replace("  service: memorai\n", "  service: codai\n")
    assert "Target memorai: spec.service is 'codai'" in refusal(text)


def test_a_name_other_than_the_files_is_refused(tmp_path: Path) -> None:
    """The file's name is how a service is found."""
    path = tmp_path / "other.yaml"
    path.write_text(GOOD)
    with pytest.raises(CatalogError, match=r"metadata.name is 'memorai'; call it 'other'"):
        read_service(path)


def test_two_objectives_of_one_name_are_refused(refusal: Refusal) -> None:
    """A verdict is told by the objective's name."""
    text = edited("displayName: throughput", "displayName: availability")
    assert "a second objective 'availability'" in refusal(text)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A directory of that name, for one."""
    (tmp_path / "memorai.yaml").mkdir()
    with pytest.raises(CatalogError, match="cannot be read: Is a directory"):
        read_service(tmp_path / "memorai.yaml")


@pytest.mark.parametrize(
    ("asked", "near"),
    [("memoria", "memorai"), ("MEMORAI", "memorai"), ("wallets", "wallet"), ("jucay", "jucai")],
)
def test_an_unknown_service_suggests_the_nearest(asked: str, near: str) -> None:
    """And the command that lists them."""
    with pytest.raises(CatalogError) as caught:
        load_catalog().service(asked)
    assert f"did you mean {near}?" in str(caught.value)
    assert "harness services" in str(caught.value)


@pytest.mark.parametrize("asked", ["", "../services/memorai", "memorai.yaml", "🦀", "a" * 10_000])
def test_a_name_like_no_other_suggests_nothing_absurd(asked: str) -> None:
    """It is never used as a path."""
    with pytest.raises(CatalogError, match="no service"):
        load_catalog().service(asked)


def test_one_service_is_read_without_the_others(tmp_path: Path) -> None:
    """A broken neighbour does not stop a run; the list names it."""
    (tmp_path / "memorai.yaml").write_text(GOOD)
    (tmp_path / "broken.yaml").write_text("[")
    catalog = load_catalog(tmp_path)
    assert catalog.service("memorai").port == 3001
    with pytest.raises(CatalogError, match=r"broken\.yaml"):
        catalog.services()


def test_a_directory_without_services_is_told(tmp_path: Path) -> None:
    """Wherever the command was started."""
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CatalogError, match="no services in it"):
            load_catalog(directory)


def test_the_root_is_harness_home_then_the_nearest_above_then_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order."""
    inner = tmp_path / "project" / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.delenv("HARNESS_HOME", raising=False)
    monkeypatch.chdir(inner)
    assert project_root() == Path(__file__).resolve().parents[2]
    (tmp_path / "project" / "services").mkdir()
    ours = tmp_path / "project" / "services" / "a.yaml"
    ours.write_text("apiVersion: harness.codai/v1\n")
    assert project_root() == tmp_path / "project"
    (tmp_path / "home" / "services").mkdir(parents=True)
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    assert project_root() == tmp_path / "home"
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(CatalogError, match="no services/ in it"):
        project_root()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_is_put_in_place_of_a_value_gives_a_service_or_one_line(
    tmp_path: Path, data: st.DataObject
) -> None:
    """No traceback, however a document is mangled."""
    documents = copy.deepcopy(DOCUMENTS)
    node: object = documents
    while isinstance(node, (dict, list)) and node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        parent, node = node, node[key]
        if data.draw(st.booleans()):
            break
    parent[key] = data.draw(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=20)
        | st.lists(st.integers(), max_size=3)
        | st.dictionaries(st.text(max_size=5), st.integers(), max_size=2)
    )
    path = tmp_path / "memorai.yaml"
    path.write_text(yaml.dump_all(documents, Dumper=yaml.CSafeDumper, allow_unicode=True))
    try:
        assert read_service(path).name == "memorai"
    except CatalogError as error:
        assert str(error).startswith(str(path))  # noqa: PT017 - either outcome is right
        assert "\n" not in str(error)  # noqa: PT017
