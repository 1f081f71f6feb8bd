"""The harness with experiments that may have a short stage before: `python quick.py WORDS…`.

Whether such an experiment can be judged is not what is tried here.
"""

import sys

from harness.chaos import experiment
from harness.cli import run

if __name__ == "__main__":
    vars(experiment).update(LEAST_BEFORE_S=1.0)
    sys.exit(run(sys.argv[1:]))
