"""The sandbox: a local server that speaks every provider's wire protocol, faults and all."""

from avatarkit.sandbox.faults import PRESETS, Fault, FaultKind, Faults, answer
from avatarkit.sandbox.local import AsyncSandbox
from avatarkit.sandbox.seen import Seen
from avatarkit.sandbox.serving import serve

__all__ = ["PRESETS", "AsyncSandbox", "Fault", "FaultKind", "Faults", "Seen", "answer", "serve"]
