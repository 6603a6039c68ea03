"""One module for each command of ``trading-data``, and the code that they share."""

import os

# Arrow reads this when it is imported. Its own pool keeps the memory of batches that have landed: a backfill of all
# years took 40 MB more.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
