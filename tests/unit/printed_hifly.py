"""The examples of HiFly's document in its two editions: English (older) and Chinese (newer)."""

from __future__ import annotations

from typing import Any, Final

from printed import Callback, Count, Exchange, Printed

from avatarkit.models import Kind, Status

OLD, NEW = "HiFly in English", "HiFly in Chinese"
BOTH: Final = (OLD, NEW)

_TASK: Final = "9071002233445566"
_CLIP: Final = "https://media.example.com/lena.mp4"
_PICTURE: Final = "https://media.example.com/lena.jpg"
_SOUND: Final = "https://media.example.com/lena.mp3"
_FILM: Final = "https://media.example.com/films/f71.mp4?token=q9"
_DEMO: Final = "https://media.example.com/demo-71.mp3"
_CREATED: Final[dict[str, Any]] = {"code": 0, "message": "", "task_id": _TASK, "request_id": "rq71"}
_MADE: Final = {"id": _TASK}


def _look(call: str, path: str, **fields: Any) -> dict[str, Any]:
    return {
        "call": call,
        "arguments": {"task_id": _TASK},
        "line": f"GET {path}",
        "query": {"task_id": _TASK},
        "answer": {"code": 0, "message": "", "status": 3, **fields, "request_id": "rq72"},
    }


def _page(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"code": 0, "message": "", "data": list(rows), "request_id": "rq73"}


AVATAR_BY_VIDEO = Exchange(
    documents=BOTH,
    section="avatar cloning, create by video",
    call="avatars.create_by_video",
    arguments={"title": "Lena", "video_url": _CLIP},
    line="POST /avatar/create_by_video",
    body={"title": "Lena", "video_url": _CLIP},
    answer=_CREATED,
    gives={**_MADE, "kind": Kind.AVATAR},
)
AVATAR_BY_IMAGE = Exchange(
    documents=BOTH,
    section="avatar cloning, create by image",
    call="avatars.create_by_image",
    arguments={"title": "Lena's picture", "image_url": _PICTURE, "model": 2},
    line="POST /avatar/create_by_image",
    body={"title": "Lena's picture", "image_url": _PICTURE, "model": 2},
    answer=_CREATED,
    gives={**_MADE, "kind": Kind.AVATAR},
)
AVATAR_TASK = Exchange(
    documents=BOTH,
    section="avatar cloning, query task",
    **_look("avatars.task", "/avatar/task", avatar="av_lena71"),
    gives={"status": Status.SUCCEEDED, "raw_status": "3", "result.id": "av_lena71"},
)
_PRESENTERS: Final = _page(
    {"avatar": "avatar_p1", "kind": 2, "title": "Presenter one"},
    {"avatar": "avatar_p2", "kind": 2, "title": "Presenter two"},
)
_PRESENTED: Final = {
    "items.0.id": "avatar_p1",
    "items.0.title": "Presenter one",
    "items.1.id": "avatar_p2",
    "items.1.public": True,
    "more": False,
    "total": None,
}
AVATAR_LIST_PYTHON = Exchange(
    documents=(NEW,),
    section="avatar cloning, query public avatars, Python",  # asks for kind 1, which the table does not have
    call="avatars.list",
    arguments={"page": 1, "size": 10, "kind": 1},
    line="GET /avatar/list",
    query={"page": "1", "size": "10", "kind": "1"},
    asked=1,
    answer=_PRESENTERS,
    answered=0,
    gives=_PRESENTED,
)
AVATAR_LIST_CURL = Exchange(
    documents=(NEW,),
    section="avatar cloning, query public avatars, cURL",
    call="avatars.list",
    arguments={"page": 1, "size": 10},
    line="GET /avatar/list",
    query={"page": "1", "size": "10", "kind": "2"},
    asked=1,
    answer=_PRESENTERS,
    gives=_PRESENTED,
)
VOICE_CREATE = Exchange(
    documents=BOTH,
    section="voice cloning, create",
    call="voices.create",
    arguments={"title": "Lena's voice", "audio_url": _SOUND},
    line="POST /voice/create",
    body={"title": "Lena's voice", "voice_type": 8, "audio_url": _SOUND},
    answer=_CREATED,
    gives={**_MADE, "kind": Kind.VOICE},
)
VOICE_EDIT = Exchange(
    documents=BOTH,
    section="voice cloning, edit",
    call="voices.edit",
    arguments={"voice": "voice_lena", "rate": 1.3, "pitch": "0.8"},
    line="POST /voice/edit",
    body={"voice": "voice_lena", "rate": "1.3", "volume": "1.0", "pitch": "0.8"},
    answer={"code": 0, "message": "", "request_id": "rq74"},
)
VOICE_LIST = Exchange(
    documents=BOTH,
    section="voice cloning, list",
    call="voices.list",
    arguments={"page": 1, "size": 10},
    line="GET /voice/list",
    query={"page": "1", "size": "10", "kind": "1"},
    answer=_page(
        {
            "voice": "voice_lena",
            "type": 20,
            "title": "Lena's voice",
            "rate": "1.1",
            "volume": "0.9",
            "pitch": "1.0",
        },
        {"voice": "voice_p1", "type": 10, "title": "Stock", "rate": "1.0", "volume": "1.0", "pitch": "1.0"},
    ),
    gives={
        "items.0.id": "voice_lena",
        "items.0.raw_type": 20,
        "items.0.title": "Lena's voice",
        "items.0.rate": 1.1,
        "items.0.volume": 0.9,
        "items.0.pitch": 1.0,
        "items.0.public": False,
        "items.1.public": True,
    },
)
VOICE_TASK = Exchange(
    documents=BOTH,
    section="voice cloning, query task",
    **_look("voices.task", "/voice/task", voice="voice_lena", demo_url=_DEMO),
    gives={"status": Status.SUCCEEDED, "result.id": "voice_lena", "result.demo_url": _DEMO},
)
_SPOKEN: Final = {"title": "By sound", "audio_url": _SOUND, "avatar": "av_lena71"}
_WRITTEN: Final = {"title": "By text", "text": "Good morning.", "voice": "voice_lena", "avatar": "av_lena71"}


def _work(documents: tuple[str, ...], section: str, what: str, fields: dict[str, Any]) -> Exchange:
    resource, _, method = what.partition(".")
    return Exchange(
        documents=documents,
        section=f"creation, {section}",
        call=what,
        arguments=fields,
        line=f"POST /{resource.removesuffix('s')}/{method}",
        body=fields,
        answer=_CREATED,
        gives=_MADE,
    )


VIDEO_BY_AUDIO_OLD = _work(
    (OLD,), "driven by sound", "videos.create_by_audio", {**_SPOKEN, "pipeline": "1.5"}
)
VIDEO_BY_AUDIO = _work((NEW,), "driven by sound", "videos.create_by_audio", _SPOKEN)
VIDEO_BY_TTS_OLD = _work((OLD,), "driven by text", "videos.create_by_tts", {**_WRITTEN, "pipeline": "1.5"})
VIDEO_BY_TTS = _work((NEW,), "driven by text", "videos.create_by_tts", _WRITTEN)
AUDIO_BY_TTS = _work(
    BOTH,
    "sound only",
    "audios.create_by_tts",
    {"title": "Sound", "text": "Good evening.", "voice": "voice_lena"},
)
VIDEO_TASK = Exchange(
    documents=BOTH,
    section="creation, query task",
    **_look("videos.task", "/video/task", video_Url=_FILM, duration=71),
    gives={"status": Status.SUCCEEDED, "result.url": _FILM, "result.duration": 71.0},
)
_SIGNED: Final = (
    "https://upload.example.com/up%2Flena.mp4?Expires=1790000000&OSSAccessKeyId=LT71&Signature=a%2Bb%3D"
)
UPLOAD_URL = Exchange(
    documents=BOTH,
    section="system, get upload address",
    call="files.create_upload_url",
    arguments={"file_extension": "mp4"},
    line="POST /tool/create_upload_url",
    body={"file_extension": "mp4"},
    answer={  # the one answer without code and message
        "upload_url": _SIGNED,
        "content_type": "video/mp4",
        "file_id": "file_lena",
        "request_id": "rq75",
    },
    gives={"upload_url": _SIGNED, "content_type": "video/mp4", "file_id": "file_lena"},
)
CREDIT = Exchange(
    documents=BOTH,
    section="system, query account credits",
    call="account.credit",
    line="GET /account/credit",
    answer={"code": 0, "message": "", "left": 7100, "request_id": "rq76"},
    gives={"left": 7100.0},
)


# -- callbacks -----------------------------------------------------------------------------------------------------

_CLONED: Final[dict[str, Any]] = {"message": "", "code": 0, "type": 2, "status": 3, "avatar": "av_lena71"}
_HEARD: Final[dict[str, Any]] = {
    "message": "",
    "code": 0,
    "type": 3,
    "status": 3,
    "voice": "voice_lena",
    "demo_url": _DEMO,
}
_WORKED: Final[dict[str, Any]] = {
    "status": 3,
    "video_Url": _FILM,
    "type": 1,
    "duration": 71,
    "message": "",
    "code": 0,
    "title": "Lena speaks",
}


def _told(section: str, body: dict[str, Any], gives: dict[str, Any]) -> tuple[Callback, Callback]:
    """A callback in both editions: the older one has no ``task_id``."""
    gives = {"status": Status.SUCCEEDED, "raw_status": "3", **gives}
    return (
        Callback(documents=(OLD,), section=section, body=body, gives={**gives, "task_id": ""}),
        Callback(
            documents=(NEW,),
            section=section,
            body={"task_id": _TASK, **body},
            gives={**gives, "task_id": _TASK},
        ),
    )


CALLBACKS: Final = (
    *_told("callback, avatar", _CLONED, {"kind": Kind.AVATAR, "snapshot.result.id": "av_lena71"}),
    *_told(
        "callback, voice",
        _HEARD,
        {"kind": Kind.VOICE, "snapshot.result.id": "voice_lena", "snapshot.result.demo_url": _DEMO},
    ),
    *_told(
        "callback, work",
        _WORKED,
        {
            "kind": None,
            "marker": "Lena speaks",
            "snapshot.result.url": _FILM,
            "snapshot.result.duration": 71.0,
        },
    ),
)

_NAMED: Final = {
    "POST /avatar/create_by_video": "avatars.create_by_video",
    "POST /avatar/create_by_image": "avatars.create_by_image",
    "GET /avatar/task": "avatars.task",
    "POST /voice/create": "voices.create",
    "POST /voice/edit": "voices.edit",
    "GET /voice/list": "voices.list",
    "GET /voice/task": "voices.task",
    "POST /video/create_by_audio": "videos.create_by_audio",
    "POST /video/create_by_tts": "videos.create_by_tts",
    "POST /audio/create_by_tts": "audios.create_by_tts",
    "GET /video/task": "videos.task",
    "POST /tool/create_upload_url": "files.create_upload_url",
    "PUT to the upload address": "files.upload",
    "GET /account/credit": "account.credit",
}

PRINTED: Final = Printed(
    exchanges=(
        AVATAR_BY_VIDEO,
        AVATAR_BY_IMAGE,
        AVATAR_TASK,
        AVATAR_LIST_PYTHON,
        AVATAR_LIST_CURL,
        VOICE_CREATE,
        VOICE_EDIT,
        VOICE_LIST,
        VOICE_TASK,
        VIDEO_BY_AUDIO_OLD,
        VIDEO_BY_AUDIO,
        VIDEO_BY_TTS_OLD,
        VIDEO_BY_TTS,
        AUDIO_BY_TTS,
        VIDEO_TASK,
        UPLOAD_URL,
        CREDIT,
    ),
    callbacks=CALLBACKS,
    # Each of the 14 (15) operations has Python and cURL; the PUT of a file has no answer. Avatar: by video, by image,
    # task (newer: public list); voice: create, edit, list, task; creation: by sound, by text, sound only, task;
    # system: upload address, PUT, credits, and a callback for each of avatar, voice and work.
    counts={
        OLD: Count(requests=28, answers=13, callbacks=3),
        NEW: Count(requests=30, answers=14, callbacks=3),
    },
    elsewhere={OLD: 2, NEW: 2},  # the PUT, in Python and cURL
    named={OLD: _NAMED, NEW: {**_NAMED, "GET /avatar/list": "avatars.list"}},
)
