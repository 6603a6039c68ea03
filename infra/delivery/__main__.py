"""``python -m infra.delivery``."""

import sys

from infra.delivery.cli import interrupt_on_sigterm, main

interrupt_on_sigterm()
sys.exit(main())
