"""The reference service: one replica as a process of its own.

Run as `python -m harness.platform.lab.service '<json>'`. The engine serves it; the configuration
and what it answers are specified at `harness._engine.serve_reference`.
"""

from harness._engine import serve_reference
from harness.platform.lab.process import serve

if __name__ == "__main__":
    serve(serve_reference)
