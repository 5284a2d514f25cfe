"""AI-avatar (digital human) video from several vendors: async and blocking, never paying twice.

Where things are, from the ground up; imports run downwards only::

    errors  models  settings  events     pure data
    request                              VideoRequest: one request for all vendors
    protocol/                            what to send, what an answer means: no I/O. ``plan``: which steps make a video
    providers/<name>/                    one folder, one vendor: wire format, tables, limits; README.md adds a fifth
    transport/                           sockets, files, clocks: limits, submissions, the poll hub, transfers
    task  artifacts  chain               the handle, its results, several tasks as one handle
    generation                           from a request to the steps of one vendor
    bulk/                                thousands of paid jobs: manifest, ledger, stages, report
    client                               what all clients share
    providers/<name>/client              the vendor's client: AsyncHiFly …
    pool  routing                        several accounts as one, and which of them serves a request
    webhooks/                            vendors' callbacks, received
    sandbox/  studio/                    the vendors' wire protocol on a local server, with real videos
    _bridge/  _sync/                     the blocking twins: HiFly … (generated)
    testing/  cli/                       for tests of your own; the command line

Start at ``providers/hifly/client.py`` for what a user calls, at ``transport/submit.py`` for what guards the money, at
``bulk/run.py`` for a bulk run.
Names are loaded when they are first used; importing avatarkit does nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from avatarkit._version import __version__

if TYPE_CHECKING:
    from avatarkit._sync.artifacts import Audio, Video
    from avatarkit._sync.pool import Pool
    from avatarkit._sync.providers.guiji.client import Guiji
    from avatarkit._sync.providers.hifly.client import HiFly
    from avatarkit._sync.providers.kling.client import Kling
    from avatarkit._sync.providers.yunapi.client import YunApi
    from avatarkit._sync.sandbox.local import Sandbox
    from avatarkit._sync.task import Task
    from avatarkit.artifacts import AsyncAudio, AsyncVideo
    from avatarkit.bulk.run import JobOutcome
    from avatarkit.client import ClientOptions
    from avatarkit.errors import (
        AuthenticationError,
        AvatarKitError,
        BadRequest,
        BridgeError,
        ClientClosed,
        ConfigurationError,
        DeadlineExceeded,
        DownloadFailed,
        EntitlementError,
        ForkedClient,
        InsufficientCredits,
        InvalidCallback,
        InvalidHandle,
        InvalidRequest,
        LinkExpired,
        MediaRejected,
        MissingCredentials,
        MissingExtra,
        ModerationRefused,
        NotFound,
        NotSent,
        ProviderError,
        ProviderFault,
        RateLimited,
        SubmissionInDoubt,
        TaskFailed,
        TooManyRunning,
        TransferError,
        TransportError,
        UnexpectedResponse,
        UnsupportedOperation,
        UploadFailed,
        WaitTimeout,
        WouldDeadlock,
    )
    from avatarkit.events import (
        BytesMoved,
        CapLearned,
        Event,
        Hook,
        ProgressHook,
        RequestDone,
        RetryScheduled,
        SubmissionSettled,
        TaskLooked,
        Throttled,
    )
    from avatarkit.models import (
        Avatar,
        Credit,
        FailureReason,
        Finding,
        Guard,
        Kind,
        Page,
        RawResponse,
        Reconciliation,
        Snapshot,
        Status,
        Subtitle,
        TaskUpdate,
        Ticket,
        UploadedFile,
        UploadSlot,
        Voice,
    )
    from avatarkit.pool import AsyncPool
    from avatarkit.protocol.plan import Capabilities
    from avatarkit.providers.guiji.client import AsyncGuiji
    from avatarkit.providers.hifly.client import AsyncHiFly
    from avatarkit.providers.kling.client import AsyncKling
    from avatarkit.providers.yunapi.client import AsyncYunApi
    from avatarkit.providers.yunapi.models import CreateVoice, Script, UseVoice
    from avatarkit.request import VideoRequest
    from avatarkit.sandbox.local import AsyncSandbox
    from avatarkit.settings import CallOptions, Polling, RateLimit, RetryPolicy, SubmissionGate, Timeouts
    from avatarkit.task import AsyncTask
    from avatarkit.transport.account import DetachedSubmission
    from avatarkit.transport.download import Downloaded
    from avatarkit.transport.object_staging import ObjectStaging
    from avatarkit.transport.sandbox_staging import SandboxStaging
    from avatarkit.transport.saving import Stored
    from avatarkit.transport.sources import Media
    from avatarkit.transport.staging import StagedFile, Staging


def _names() -> dict[str, str]:
    """Name -> module, read from the one typed list above, so that tools and the running program cannot disagree."""
    import ast
    from pathlib import Path

    found = {}
    for node in ast.parse(Path(__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If):
            for entry in node.body:
                if isinstance(entry, ast.ImportFrom) and entry.module:
                    found.update({alias.name: entry.module for alias in entry.names})
    return found


_modules: dict[str, str] = {}
_SUBMODULES = frozenset(
    {
        "bulk",
        "errors",
        "events",
        "models",
        "providers",
        "sandbox",
        "settings",
        "studio",
        "testing",
        "webhooks",
    }
)

__all__ = [
    "AsyncAudio",
    "AsyncGuiji",
    "AsyncHiFly",
    "AsyncKling",
    "AsyncPool",
    "AsyncSandbox",
    "AsyncTask",
    "AsyncVideo",
    "AsyncYunApi",
    "Audio",
    "AuthenticationError",
    "Avatar",
    "AvatarKitError",
    "BadRequest",
    "BridgeError",
    "BytesMoved",
    "CallOptions",
    "CapLearned",
    "Capabilities",
    "ClientClosed",
    "ClientOptions",
    "ConfigurationError",
    "CreateVoice",
    "Credit",
    "DeadlineExceeded",
    "DetachedSubmission",
    "DownloadFailed",
    "Downloaded",
    "EntitlementError",
    "Event",
    "FailureReason",
    "Finding",
    "ForkedClient",
    "Guard",
    "Guiji",
    "HiFly",
    "Hook",
    "InsufficientCredits",
    "InvalidCallback",
    "InvalidHandle",
    "InvalidRequest",
    "JobOutcome",
    "Kind",
    "Kling",
    "LinkExpired",
    "Media",
    "MediaRejected",
    "MissingCredentials",
    "MissingExtra",
    "ModerationRefused",
    "NotFound",
    "NotSent",
    "ObjectStaging",
    "Page",
    "Polling",
    "Pool",
    "ProgressHook",
    "ProviderError",
    "ProviderFault",
    "RateLimit",
    "RateLimited",
    "RawResponse",
    "Reconciliation",
    "RequestDone",
    "RetryPolicy",
    "RetryScheduled",
    "Sandbox",
    "SandboxStaging",
    "Script",
    "Snapshot",
    "StagedFile",
    "Staging",
    "Status",
    "Stored",
    "SubmissionGate",
    "SubmissionInDoubt",
    "SubmissionSettled",
    "Subtitle",
    "Task",
    "TaskFailed",
    "TaskLooked",
    "TaskUpdate",
    "Throttled",
    "Ticket",
    "Timeouts",
    "TooManyRunning",
    "TransferError",
    "TransportError",
    "UnexpectedResponse",
    "UnsupportedOperation",
    "UploadFailed",
    "UploadSlot",
    "UploadedFile",
    "UseVoice",
    "Video",
    "VideoRequest",
    "Voice",
    "WaitTimeout",
    "WouldDeadlock",
    "YunApi",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if not _modules:
        _modules.update(_names())
    from importlib import import_module

    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    try:
        module = _modules[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
