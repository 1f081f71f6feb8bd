"""A region's database: one process that holds the writes and hands them to the peer regions.

Run as `python -m harness.platform.lab.database '<json>'`. The engine serves it; the configuration,
the messages and what is guaranteed are specified at `harness._engine.serve_database`.
"""

from harness._engine import serve_database
from harness.platform.lab.process import serve

if __name__ == "__main__":
    serve(serve_database)
