"""Guiji's operations, answers and mistakes as data, for the suites that loop over all providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avatarkit.errors import SubmissionInDoubt
from avatarkit.protocol.samples import Mistake, Need, Operation, Refusal, Samples, Something
from avatarkit.providers.guiji import codes
from avatarkit.providers.guiji import operations as ops
from avatarkit.providers.guiji.sample_answers import ANSWERS, refused

_CLIP: Final = "https://media.example.com/clips/presenter.mp4"
_CONSENT: Final = "https://media.example.com/clips/consent.mp4"
_SOUND: Final = "https://media.example.com/sounds/sample.wav"
_CONSENT_SOUND: Final = "https://media.example.com/sounds/consent.wav"
_HOOK: Final = "https://hooks.example.com/guiji"
_WORDS: Final = "I am Ada. I consent Example Ltd clone my voice for the synthesis of audio."
_AVATAR, _VOICE = Need("avatar"), Need("voice")
_AGREED: Final[Mapping[str, Any]] = {"authorize_url": _CONSENT, "authorize_text": _WORDS}

_WORKS: Final = (
    Operation(
        method="videos.create",
        endpoint=ops.VIDEO_CREATE,
        arguments={"avatar": _AVATAR, "voice": _VOICE, "text": "Good morning."},
        sends={"sceneId": _AVATAR, "speakerId": _VOICE, "text": "Good morning.", "videoName": Something()},
        yields="video",
        task="video task",
    ),
    Operation(
        method="videos.create",
        endpoint=ops.VIDEO_CREATE,
        arguments={
            "audio_url": _SOUND,
            "avatar": _AVATAR,
            "title": "Spoken",
            "pn": 1,
            "callback_url": _HOOK,
        },
        sends={
            "audioUrl": _SOUND,
            "sceneId": _AVATAR,
            "videoName": "Spoken",
            "pn": 1,
            "callbackUrl": _HOOK,
        },
        yields="video",
        label="audio",
    ),
    Operation(
        method="audios.create",
        endpoint=ops.AUDIO_CREATE,
        arguments={"voice": _VOICE, "text": "Only sound."},
        sends={"speakerId": _VOICE, "content": "Only sound."},
        yields="audio",
        task="audio task",
    ),
)

_CLONES: Final = (
    Operation(
        method="avatars.create",
        endpoint=ops.AVATAR_CREATE,
        arguments={"video_url": _CLIP, "title": "Presenter", **_AGREED},
        sends={
            "name": "Presenter",
            "videoUrl": _CLIP,
            "authorizeUrl": _CONSENT,
            "authorizeText": _WORDS,
            "level": 1,
        },
        yields="avatar",
        makes="own avatar",
        task="avatar task",
    ),
    Operation(
        method="avatars.create",
        endpoint=ops.AVATAR_CREATE,
        arguments={"video": _CLIP, "compress": True, "callback_url": _HOOK, **_AGREED},
        sends={
            "name": Something(),
            "videoUrl": _CLIP,
            "authorizeUrl": _CONSENT,
            "authorizeText": _WORDS,
            "level": 1,
            "compress": True,
            "callbackUrl": _HOOK,
        },
        yields="avatar",
        label="everything",
    ),
    Operation(
        method="voices.create",
        endpoint=ops.VOICE_CREATE,
        arguments={
            "audio_url": _SOUND,
            "authorize_url": _CONSENT_SOUND,
            "authorize_text": _WORDS,
            "title": "Narrator",
            "sex": 2,
        },
        sends={
            "name": "Narrator",
            "audioUrl": _SOUND,
            "authorizeUrl": _CONSENT_SOUND,
            "authorizeText": _WORDS,
            "sex": 2,
        },
        yields="voice",
        makes="own voice",
        task="voice task",
    ),
)


def _lists(group: str, endpoint: Any, row: str) -> tuple[Operation, ...]:
    return (
        Operation(
            method=f"{group}.list",
            endpoint=endpoint,
            arguments={"page": 2, "size": 10},
            sends={"page": 2, "size": 10},
            gives="Page",
        ),
        Operation(
            method=f"{group}.iterate",
            endpoint=endpoint,
            sends={"page": 1, "size": 100},
            needs=(f"{group.removesuffix('s')} task",),
            gives=row,
            iterates=True,
        ),
    )


def _single(group: str, endpoint: Any, argument: str, row: str, task: str) -> Operation:
    return Operation(method=f"{group}.get", endpoint=endpoint, arguments={argument: Need(task)}, gives=row)


_FREE: Final = (
    Operation(method="account.benefits", endpoint=ops.BENEFITS, gives="Benefits"),
    *_lists("avatars", ops.AVATAR_LIST, "AvatarClone"),
    *_lists("voices", ops.VOICE_LIST, "VoiceClone"),
    *_lists("videos", ops.VIDEO_LIST, "VideoWork"),
    *_lists("audios", ops.AUDIO_LIST, "AudioWork"),
    _single("avatars", ops.AVATAR_GET, "training_id", "AvatarClone", "avatar task"),
    _single("voices", ops.VOICE_GET, "voice", "VoiceClone", "voice task"),
    _single("videos", ops.VIDEO_GET, "video_id", "VideoWork", "video task"),
    _single("audios", ops.AUDIO_GET, "audio_id", "AudioWork", "audio task"),
    Operation(
        method="voices.list",
        endpoint=ops.VOICE_LIST,
        arguments={
            "sex": 1,
            "status": 2,
            "expires_from": "2025-01-01 00:00:00",
            "expires_to": "2025-12-31 23:59:59",
        },
        sends={
            "page": 1,
            "size": 20,
            "sex": 1,
            "status": 2,
            "expireStartTime": "2025-01-01 00:00:00",
            "expireEndTime": "2025-12-31 23:59:59",
        },
        gives="Page",
        label="filtered",
    ),
    Operation(
        method="avatars.list_public",
        endpoint=ops.AVATAR_PUBLIC,
        arguments={"name": "形象"},
        sends={"page": 1, "size": 20, "name": "形象"},
        gives="Page",
    ),
    Operation(
        method="avatars.iterate_public",
        endpoint=ops.AVATAR_PUBLIC,
        sends={"page": 1, "size": 100},
        gives="Avatar",
        iterates=True,
    ),
    Operation(
        method="voices.list_public",
        endpoint=ops.VOICE_PUBLIC,
        arguments={"name": "声音", "sex": 1, "size": 10},
        sends={"page": 1, "size": 10, "name": "声音", "sex": 1},
        gives="Page",
    ),
    Operation(
        method="voices.iterate_public",
        endpoint=ops.VOICE_PUBLIC,
        sends={"page": 1, "size": 100},
        gives="Voice",
        iterates=True,
    ),
    Operation(
        method="avatars.authorize",
        endpoint=ops.AVATAR_AUTHORIZE,
        arguments={"avatar": "-291", **_AGREED},
        sends={"sceneId": -291, "authorizeUrl": _CONSENT, "authorizeText": _WORDS},
        gives="bool",
    ),
    Operation(
        method="voices.authorize",
        endpoint=ops.VOICE_AUTHORIZE,
        arguments={"voice": Need("own voice"), **_AGREED},
        sends={"speakerId": Need("own voice"), "authorizeUrl": _CONSENT, "authorizeText": _WORDS},
        gives="bool",
    ),
)


# -- mistakes ------------------------------------------------------------------------------------------------------


def _mistake(label: str, method: str, names: str, **arguments: Any) -> Mistake:
    return Mistake(label=label, method=method, arguments=arguments, names=tuple(names.split()))


_GOOD: Final[Mapping[str, Any]] = {"avatar": -291, "voice": "C_101", "text": "Hello."}

_MISTAKES: Final = (
    _mistake("neither audio nor text", "videos.create", "audio", avatar=-291),
    _mistake("audio and text", "videos.create", "audio", audio_url=_SOUND, **_GOOD),
    _mistake("text without a voice", "videos.create", "voice", avatar=-291, text="Hello."),
    _mistake("a voice without text", "videos.create", "voice", avatar=-291, voice="C_101", audio_url=_SOUND),
    _mistake("no text", "videos.create", "text", **{**_GOOD, "text": "  "}),
    _mistake("no avatar", "videos.create", "avatar", **{**_GOOD, "avatar": ""}),
    _mistake("an avatar that is none", "videos.create", "avatar", **{**_GOOD, "avatar": True}),
    _mistake("pn out of range", "videos.create", "pn", pn=2, **_GOOD),
    _mistake("a callback that is no URL", "videos.create", "callback_url", callback_url="here", **_GOOD),
    _mistake("an audio that is no URL", "videos.create", "audio_url", avatar=-291, audio_url="ftp://x/y.wav"),
    _mistake("speech without a voice", "audios.create", "voice text", voice=" ", text=""),
    _mistake("no video", "avatars.create", "video", **_AGREED),
    _mistake("no consent", "avatars.create", "authorize authorize_text", video_url=_CLIP, authorize_text=""),
    _mistake("level", "avatars.create", "level compress", video_url=_CLIP, level=2, compress=1, **_AGREED),
    _mistake("a training's id", "avatars.create", "training_id", video_url=_CLIP, training_id="x", **_AGREED),
    _mistake("no WAV", "voices.create", "audio_url", audio_url="https://x.example/a.mp3?b=1", **_AGREED),
    _mistake("sex", "voices.create", "sex", audio_url=_SOUND, sex=3, **_AGREED),
    _mistake("a scene that is no number", "avatars.authorize", "avatar", avatar="x7", **_AGREED),
    _mistake("page zero", "videos.list", "page size", page=0, size=0),
    _mistake("status", "voices.list", "status expires_from", status=5, expires_from="tomorrow"),
    _mistake("no task id", "videos.get", "video_id", video_id=""),
)

SAMPLES: Final = Samples(
    operations=(*_WORKS, *_CLONES, *_FREE),
    submission="videos.create",
    look=ops.VIDEO_GET,
    answers=ANSWERS,
    mistakes=_MISTAKES,
    refusals=tuple(
        Refusal(
            code=code,
            body=refused(code),
            error=rule.error,
            # On a submission an internal error is no refusal but a doubt, see reading.refused.
            submission=SubmissionInDoubt if code == codes.INTERNAL else None,
            cured=code in codes.TOKEN_CODES,
        )
        for code, rule in codes.ERRORS.items()
    ),
    bad_credentials=tuple({"auth_failure": way} for way in ("ok", "401", "text")),
    too_many_running=refused("40019"),
    no_credits=refused("40010"),
    totals=True,
    token=ops.TOKEN,
    grant={"code": "0", "success": True, "data": {"access_token": "lent", "expires_in": 7200}},
    auth_query=("access_token",),
)
"""Everything the suites need to know of Guiji."""
