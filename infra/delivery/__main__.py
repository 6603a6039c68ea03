"""``python -m infra.delivery``."""

import os
import sys

from infra.delivery.compare import main

sys.exit(main(sys.argv[1:], os.environ))
