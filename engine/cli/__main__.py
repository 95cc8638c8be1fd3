"""Main: `python -m engine.cli` is `weft`."""

import sys

from engine.cli import main

sys.exit(main())
