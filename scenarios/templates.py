"""templates: boilerplates; a few templates are fetched by nearly everybody."""

from harness.traffic.collection import api, feeds_of
from harness.traffic.user import TrafficUser


class TemplatesUser(TrafficUser):
    """Somebody who begins a project."""

    service = "templates"
    feeds = feeds_of(1.6)
    mix = api(
        "/api/v1/templates",
        find=("browse templates", 40),
        read=("fetch template", 57),
        create=("publish template", 1),
        change=("revise template", 2),
        body={"language": "typescript"},
    )
