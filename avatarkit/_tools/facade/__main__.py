"""``python -m avatarkit._tools.facade``."""

from __future__ import annotations

from avatarkit._tools.facade.tree import main

raise SystemExit(main())
