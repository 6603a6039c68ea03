"""A run at a time of the caller's choice: the command's own steps, in a process of their own that can be killed.

python -m tests.extract.run_at 2024-12-31T18:30:00+05:30 ABB,ACC
"""

import logging
import os
import sys
from datetime import datetime

import structlog

from extract.fetching.run import Job, daily_plan, fetch
from extract.fetching.shortfalls import shortfalls
from extract.landing.archive import Archive
from extract.run_id import new_run_id
from extract.seeds import last_closed_session, listed_instruments
from extract.settings import Settings
from extract.warehouse.build import build
from extract.warehouse.connection import open_warehouse


def main() -> int:
    """Fetch what is new and build; return 0 where everything came and passed."""
    now = datetime.fromisoformat(sys.argv[1])
    settings = Settings.from_environment(os.environ)
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    with open_warehouse(settings) as warehouse:
        warehouse.create_raw()
        job = Job(
            settings=settings,
            instruments=listed_instruments(sys.argv[2].split(",")),
            due=last_closed_session(now),
            run_id=new_run_id("test", now),
            archive=Archive(settings.archive_uri),
            warehouse=lambda: warehouse,
            clock=lambda: now,
            progress=lambda *_: None,
            first_wait=0.01,
        )
        fetch(job, daily_plan(job))
        built = build(settings, warehouse, lambda *_: None)
        return 1 if shortfalls(job) or built.failed else 0


if __name__ == "__main__":
    sys.exit(main())
