"""`harness init`: a small project to edit."""

from pathlib import Path

import click

from harness.errors import UsageError

PROJECT = """\
url: {url}            # the only field that must be here
objectives:           # leave them out for figures without a verdict
  - p95 < 100ms
  - errors < 0.1%
scenario: scenario.py # leave it out for GET of the URL
rate: 10              # requests/s; HARNESS_RATE or --rate override it
duration: 10s
"""

SCENARIO = '''\
"""What is sent: a mix of requests, by weight. Feeds put values where {{name}} stands."""

from harness.traffic import get, uniform
from harness.traffic.user import TrafficUser


class User(TrafficUser):
    service = "{name}"
    feeds = {{"number": uniform(1, 1000)}}
    mix = [
        get("{path}", name="first", weight=3),
        get("{path}", name="with a number", headers={{"x-number": "{{number}}"}}),
    ]
'''


@click.command("init")
@click.argument("url", default="http://127.0.0.1:8080/")
def command(url: str) -> int:
    """Write harness.yaml and scenario.py for URL into the current directory."""
    from harness.project import FILE, base_of, path_of, slug

    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is no URL", "give it as http://host:port/path")
    files = {
        Path(FILE): PROJECT.format(url=url),
        Path("scenario.py"): SCENARIO.format(
            name=slug(base_of(url)), path=path_of(url).replace("{", "{{").replace("}", "}}")
        ),
    }
    for path in files:
        if path.exists():
            raise UsageError(f"{path} is there already", "remove it, or go to another directory")
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote {path}")
    click.echo("now: harness perf")
    return 0
