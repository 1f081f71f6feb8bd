"""Traffic models and load profiles: what is sent, and when. No I/O but reading scenario files."""

from harness.traffic.build import model_of, to_engine
from harness.traffic.declare import (
    body_contains,
    choice,
    csv_column,
    delete,
    get,
    journey,
    json_pointer,
    post,
    put,
    request,
    sequence,
    status,
    uniform,
    uuid,
    zipf,
)
from harness.traffic.model import Audit, Journey, LoadProfile, Request, Segment, TrafficModel
from harness.traffic.profiles import NAMED, resolve_profile
from harness.traffic.replay import replay
from harness.traffic.scenario import (
    import_users,
    load_model,
    scenario_environment,
    scenario_names,
    service_asked,
)

__all__ = [
    "NAMED",
    "Audit",
    "Journey",
    "LoadProfile",
    "Request",
    "Segment",
    "TrafficModel",
    "body_contains",
    "choice",
    "csv_column",
    "delete",
    "get",
    "import_users",
    "journey",
    "json_pointer",
    "load_model",
    "model_of",
    "post",
    "put",
    "replay",
    "request",
    "resolve_profile",
    "scenario_environment",
    "scenario_names",
    "sequence",
    "service_asked",
    "status",
    "to_engine",
    "uniform",
    "uuid",
    "zipf",
]
