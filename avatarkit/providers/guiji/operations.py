"""Every operation of Guiji's document, as data.

Paths mix two versions on purpose, as the document does: v3 for what creates (it takes the consent), v2 for what reads.
Every request carries the access token in its query; ``auth.py`` adds it.
"""

from __future__ import annotations

from avatarkit.models import Guard, Kind
from avatarkit.protocol.endpoint import Effect, Endpoint

# Four pools: the document knows one refusal for too many tasks (40019) and does not say which tasks count together.
WORKS, SPEECH, AVATARS, VOICES = "works", "speech", "avatars", "voices"

TOKEN = Endpoint(
    name="token", method="GET", path="/openapi/oauth/token", source="interface page, access_token"
)
BENEFITS = Endpoint(name="account.benefits", method="GET", path="/openapi/user/v2/get", source="document, 1")
AVATAR_PUBLIC = Endpoint(
    name="avatars.list_public",
    method="POST",
    path="/openapi/robot/v2/fastPublicPageList",
    source="document, 2.1",
)
VOICE_PUBLIC = Endpoint(
    name="voices.list_public",
    method="POST",
    path="/openapi/speaker/v2/fastPublicPageList",
    source="document, 2.2",
)
AVATAR_CREATE = Endpoint(
    name="avatars.create",
    method="POST",
    path="/openapi/video/v3/create/training",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.AVATAR,
    pool=AVATARS,
    guard=Guard.TITLE,
    source="document, 3.1",
)
AVATAR_LIST = Endpoint(
    name="avatars.list",
    method="POST",
    path="/openapi/video/v2/training/pageList",
    kind=Kind.AVATAR,
    source="document, 3.3",
)
AVATAR_GET = Endpoint(
    name="avatars.get",
    method="GET",
    path="/openapi/video/v2/training/get/{id}",
    kind=Kind.AVATAR,
    source="document, 3.4",
)
AVATAR_AUTHORIZE = Endpoint(
    name="avatars.authorize",
    method="POST",
    path="/openapi/video/v3/authorize",
    effect=Effect.WRITE,
    source="document, 7.1",
)
VOICE_CREATE = Endpoint(
    name="voices.create",
    method="POST",
    path="/openapi/speaker/v3/clone",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VOICE,
    pool=VOICES,
    guard=Guard.TITLE,
    source="document, 4.1",
)
VOICE_LIST = Endpoint(
    name="voices.list",
    method="POST",
    path="/openapi/speaker/v2/clonePageList",
    kind=Kind.VOICE,
    source="document, 4.3",
)
VOICE_GET = Endpoint(
    name="voices.get",
    method="GET",
    path="/openapi/speaker/v2/clone/{id}",
    kind=Kind.VOICE,
    source="document, 4.4",
)
VOICE_AUTHORIZE = Endpoint(
    name="voices.authorize",
    method="POST",
    path="/openapi/speaker/v3/authorize",
    effect=Effect.WRITE,
    source="document, 7.2",
)
VIDEO_CREATE = Endpoint(
    name="videos.create",
    method="POST",
    path="/openapi/video/v3/simpleCreate",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VIDEO,
    pool=WORKS,
    guard=Guard.TITLE,
    source="document, 5.1",
)
VIDEO_LIST = Endpoint(
    name="videos.list",
    method="POST",
    path="/openapi/video/v2/pageList",
    kind=Kind.VIDEO,
    source="document, 5.3",
)
VIDEO_GET = Endpoint(
    name="videos.get",
    method="GET",
    path="/openapi/video/v2/get/{id}",
    kind=Kind.VIDEO,
    source="document, 5.4",
)
AUDIO_CREATE = Endpoint(
    name="audios.create",
    method="POST",
    path="/openapi/speaker/v3/fastTts",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.AUDIO,
    pool=SPEECH,
    source="document, 6.1",
)
AUDIO_LIST = Endpoint(
    name="audios.list",
    method="POST",
    path="/openapi/speaker/v2/tts/pageList",
    kind=Kind.AUDIO,
    source="document, 6.3",
)
AUDIO_GET = Endpoint(
    name="audios.get",
    method="GET",
    path="/openapi/speaker/v2/tts/{id}",
    kind=Kind.AUDIO,
    source="document, 6.4",
)
