"""``python -m avatarkit.sandbox``."""

from __future__ import annotations

import sys

from avatarkit.sandbox.serving import main

if __name__ == "__main__":
    sys.exit(main())
