"""Every operation of HiFly's documents, as data."""

from __future__ import annotations

from avatarkit.models import Guard, Kind
from avatarkit.protocol.endpoint import Effect, Endpoint

WORKS = "works"

AVATAR_BY_VIDEO = Endpoint(
    name="avatars.create_by_video",
    method="POST",
    path="/avatar/create_by_video",
    effect=Effect.SUBMIT,
    kind=Kind.AVATAR,
    source="create video avatar",
)
AVATAR_BY_IMAGE = Endpoint(
    name="avatars.create_by_image",
    method="POST",
    path="/avatar/create_by_image",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.AVATAR,
    source="create image avatar",
)
AVATAR_TASK = Endpoint(
    name="avatars.task", method="GET", path="/avatar/task", kind=Kind.AVATAR, source="avatar: query task"
)
AVATAR_LIST = Endpoint(name="avatars.list", method="GET", path="/avatar/list", source="query public avatars")
VOICE_CREATE = Endpoint(
    name="voices.create",
    method="POST",
    path="/voice/create",
    effect=Effect.SUBMIT,
    kind=Kind.VOICE,
    guard=Guard.TITLE,
    source="create voice",
)
VOICE_EDIT = Endpoint(
    name="voices.edit", method="POST", path="/voice/edit", effect=Effect.WRITE, source="edit voice parameters"
)
VOICE_LIST = Endpoint(name="voices.list", method="GET", path="/voice/list", source="query voices")
VOICE_TASK = Endpoint(
    name="voices.task", method="GET", path="/voice/task", kind=Kind.VOICE, source="voice: query task"
)
VIDEO_BY_AUDIO = Endpoint(
    name="videos.create_by_audio",
    method="POST",
    path="/video/create_by_audio",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VIDEO,
    pool=WORKS,
    source="video, audio-driven",
)
VIDEO_BY_TTS = Endpoint(
    name="videos.create_by_tts",
    method="POST",
    path="/video/create_by_tts",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VIDEO,
    pool=WORKS,
    source="video, text-driven",
)
VIDEO_BY_IMAGE = Endpoint(
    name="videos.create_by_image",
    method="POST",
    path="/video/create_by_image",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VIDEO,
    pool=WORKS,
    source="not in the vendor's documents; one project's contract",
    experimental=True,
)
AUDIO_BY_TTS = Endpoint(
    name="audios.create_by_tts",
    method="POST",
    path="/audio/create_by_tts",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.AUDIO,
    pool=WORKS,
    source="audio creation",
)
VIDEO_TASK = Endpoint(
    name="videos.task", method="GET", path="/video/task", kind=Kind.VIDEO, source="query creation task"
)
UPLOAD_URL = Endpoint(
    name="files.create_upload_url",
    method="POST",
    path="/tool/create_upload_url",
    effect=Effect.WRITE,
    source="get upload address",
)
CREDIT = Endpoint(name="account.credit", method="GET", path="/account/credit", source="query account credits")
