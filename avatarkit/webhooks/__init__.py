"""Vendors' callbacks: they wake waiting tasks at once, and are never believed.

:class:`Webhooks` takes callbacks in; ``avatarkit.webhooks.asgi`` and ``avatarkit.webhooks.aiohttp`` put it behind a
web server. A callback only says which task to look at: the task itself is asked before anything changes, and polling
goes on as the backstop. There is no blocking twin: a program without an event loop has no web server to put it in.
"""

from avatarkit.webhooks.receiver import LARGEST_BODY, Reply, WebhookCounts, Webhooks

__all__ = ["LARGEST_BODY", "Reply", "WebhookCounts", "Webhooks"]
