"""``python -m cryocorr_tui`` is ``cryocorr``."""

from cryocorr_tui.cli import main

raise SystemExit(main())
