"""``python -m extract`` is ``trading-data``."""

import sys

from extract.cli import main

sys.exit(main())
