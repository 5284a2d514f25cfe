"""For tests of programs that use avatarkit: virtual time and fixtures."""

from avatarkit.testing.virtual import VirtualClock, VirtualTimeLoop, run_virtual

__all__ = ["VirtualClock", "VirtualTimeLoop", "run_virtual"]
