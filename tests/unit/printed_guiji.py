"""The examples of Guiji's document: 17 request lines and their answers.

The document prints no request body; the bodies here follow its tables of fields.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from printed import Count, Exchange, Printed
from printed_guiji_callbacks import CALLBACKS, DOCUMENT

from avatarkit.models import Kind, Status
from avatarkit.providers.guiji.values import CHINA

_ALONE: Final = (DOCUMENT,)
_PICTURE: Final = "http://127.0.0.1/pictures/mira.png"
_CLIP: Final = "http://127.0.0.1/clips/mira.mp4"
_FILM: Final = "http://127.0.0.1/films/808_ff_1.mp4"
_SUBTITLES: Final = "http://127.0.0.1/films/808.srt"
_SAMPLE: Final = "https://localhost/mira.wav"
_DEMO: Final = "https://localhost/demo.wav"
_HOOK: Final = "https://hooks.example.com/g/1"
_CONSENT: Final = {"authorize_url": "https://media.example.com/yes.mp4", "authorize_text": "Mira agrees."}
_AGREED: Final = {"authorizeUrl": "https://media.example.com/yes.mp4", "authorizeText": "Mira agrees."}
_BEGUN, _ENDED = datetime(2026, 4, 2, 9, 30, 5, tzinfo=CHINA), datetime(2026, 4, 2, 9, 41, tzinfo=CHINA)
_BEGUN_TEXT, _ENDED_TEXT = "2026-04-02 09:30:05", "2026-04-02 09:41:00"


def _good(data: Any) -> dict[str, Any]:
    return {"code": "0", "message": "Done", "success": True, "data": data}


def _paged(size: int, total: int, *rows: dict[str, Any]) -> dict[str, Any]:
    return _good({"pageSize": size, "pageNo": 1, "totalRecord": total, "records": list(rows)})


def _list(section: str, call: str, path: str, answer: dict[str, Any], gives: dict[str, Any]) -> Exchange:
    size = answer["data"]["pageSize"]
    return Exchange(
        documents=_ALONE,
        section=section,
        call=call,
        arguments={"page": 1, "size": size},
        line=f"POST {path}",
        body={"page": 1, "size": size},
        asked=1,
        answer=answer,
        gives={"total": answer["data"]["totalRecord"], **gives},
    )


def _get(
    section: str, call: str, own: dict[str, Any], path: str, data: dict[str, Any], gives: dict[str, Any]
) -> Exchange:
    return Exchange(
        documents=_ALONE,
        section=section,
        call=call,
        arguments=own,
        line=f"GET {path}",
        asked=1,
        answer=_good(data),
        gives=gives,
    )


BENEFITS = Exchange(
    documents=_ALONE,
    section="1",
    call="account.benefits",
    line="GET /openapi/user/v2/get",
    asked=1,
    answer=_good(
        {
            "user": {"id": 2007001, "corpId": 2007002},
            "account": {
                "fastTrainingAmount": 2,
                "totalFastTrainingAmount": 4,
                "voiceCloneAmount": 0,
                "totalVoiceCloneAmount": 0,
                "ttsWordsAmount": 870,
                "totalTtsWordsAmount": 900,
                "fastDuration": 3500250,  # more than was bought, as there
                "totalFastDuration": 30000,
            },
        }
    ),
    gives={
        "user_id": "2007001",
        "corp_id": "2007002",
        "avatars": 2,
        "avatars_total": 4,
        "voices": 0,
        "voices_total": 0,
        "characters": 870,
        "characters_total": 900,
        "video_seconds": 3500.25,
        "video_seconds_total": 30.0,
    },
)
PUBLIC_AVATARS = _list(
    "2.1",
    "avatars.list_public",
    "/openapi/robot/v2/fastPublicPageList",
    _paged(10, 1, {"id": -77, "sceneName": "desk", "coverUrl": _PICTURE, "resolution": "1080x1920"}),
    {
        "items.0.id": "-77",
        "items.0.title": "desk",
        "items.0.extra": {"coverUrl": _PICTURE, "resolution": "1080x1920"},
    },
)
PUBLIC_VOICES = _list(
    "2.2",
    "voices.list_public",
    "/openapi/speaker/v2/fastPublicPageList",
    _paged(
        10,
        10,
        {
            "speakerId": "C_71",
            "ttsName": "stock",
            "ttsFeatures": "Low|Warm|Slow",
            "ttsAudition": _DEMO,
            "languages": ["zh"],
            "sex": 1,
            "status": 2,
        },
    ),
    {
        "items.0.id": "C_71",
        "items.0.title": "stock",
        "items.0.demo_url": _DEMO,
        "items.0.languages": ("zh",),
        "items.0.extra": {"sex": 1, "status": 2, "ttsFeatures": "Low|Warm|Slow"},
    },
)


# -- avatars -------------------------------------------------------------------------------------------------------

AVATAR_CREATE = Exchange(
    documents=_ALONE,
    section="3.1",
    call="avatars.create",
    arguments={"title": "Mira", "video_url": _CLIP, **_CONSENT, "compress": False, "callback_url": _HOOK},
    line="POST /openapi/video/v3/create/training",
    body={
        "name": "Mira",
        "videoUrl": _CLIP,
        **_AGREED,
        "level": 1,
        "compress": False,
        "callbackUrl": _HOOK,
    },
    asked=1,
    answer=_good({"trainingId": 908}),
    gives={"id": "908", "kind": Kind.AVATAR},
)
_TRAINING: Final = {
    "id": 908,
    "title": "Mira",
    "videoUrl": _CLIP,
    "status": 2,
    "callbackStatus": 2,
    "comment": "",
    "sceneId": -78,
    "createTime": _BEGUN_TEXT,
    "updateTime": _ENDED_TEXT,
    "coverUrl": _PICTURE,
}
_TRAINED: Final = {
    "id": "908",
    "title": "Mira",
    "video_url": _CLIP,
    "status": Status.SUCCEEDED,
    "callback_status": 2,
    "comment": "",
    "avatar_id": "-78",
    "cover_url": _PICTURE,
    "authorized": None,  # "required" in the table, absent from the examples
    "created": _BEGUN,
    "updated": _ENDED,
}


def _first(gives: dict[str, Any]) -> dict[str, Any]:
    return {f"items.0.{name}": value for name, value in gives.items()}


AVATAR_LIST = _list(
    "3.3",
    "avatars.list",
    "/openapi/video/v2/training/pageList",
    _paged(10, 2, _TRAINING),
    _first(_TRAINED),
)
AVATAR_GET = _get(
    "3.4",
    "avatars.get",
    {"training_id": 908},
    "/openapi/video/v2/training/get/908",
    _TRAINING,
    _TRAINED,
)


# -- voices --------------------------------------------------------------------------------------------------------

_VOICE: Final = {
    "speakerId": "C_81",
    "ttsName": "Mira's voice",
    "ttsFeatures": "As recorded",
    "audioUrl": _SAMPLE,
    "ttsAudition": _DEMO,
    "languages": ["zh", "en"],
    "sex": None,
    "status": 2,
    "reason": None,
    "expireTime": _ENDED_TEXT,
}
_CLONED: Final = {
    "id": "C_81",
    "title": "Mira's voice",
    "features": ("As recorded",),
    "sample_url": _SAMPLE,
    "demo_url": _DEMO,
    "languages": ("zh", "en"),
    "sex": None,
    "status": Status.SUCCEEDED,
    "reason": "",
    "expires": _ENDED,
}
VOICE_CREATE = Exchange(
    documents=_ALONE,
    section="4.1",
    call="voices.create",
    arguments={"title": "Mira's voice", "audio_url": _SAMPLE, **_CONSENT, "sex": 2, "callback_url": _HOOK},
    line="POST /openapi/speaker/v3/clone",
    body={"name": "Mira's voice", "audioUrl": _SAMPLE, **_AGREED, "sex": 2, "callbackUrl": _HOOK},
    asked=1,
    answer=_good({**_VOICE, "ttsAudition": "", "status": 0, "expireTime": None}),
    gives={"id": "C_81", "kind": Kind.VOICE},
)
VOICE_LIST = _list(
    "4.3", "voices.list", "/openapi/speaker/v2/clonePageList", _paged(2, 61, _VOICE), _first(_CLONED)
)
VOICE_GET = _get("4.4", "voices.get", {"voice": "C_81"}, "/openapi/speaker/v2/clone/C_81", _VOICE, _CLONED)


# -- videos and speech ---------------------------------------------------------------------------------------------

VIDEO_CREATE = Exchange(
    documents=_ALONE,
    section="5.1",
    call="videos.create",
    arguments={
        "title": "News",
        "avatar": -78,
        "text": "Good morning.",
        "voice": "C_81",
        "pn": 1,
        "callback_url": _HOOK,
    },
    line="POST /openapi/video/v3/simpleCreate",
    body={  # this table alone has the scene's id as text
        "videoName": "News",
        "sceneId": "-78",
        "text": "Good morning.",
        "speakerId": "C_81",
        "pn": 1,
        "callbackUrl": _HOOK,
    },
    asked=1,
    answer=_good({"videoId": -51}),
    gives={"id": "-51", "kind": Kind.VIDEO},
)
_VIDEO: Final = {
    "id": -51,
    "videoName": "News",
    "videoFormat": "mp4",
    "duration": "8.12",  # coarser than the milliseconds, to tell which is read
    "durationMs": "8125",
    "coverUrl": _PICTURE,
    "videoUrl": _FILM,
    "srtUrl": _SUBTITLES,
    "synthesisStatus": 3,
    "failReason": None,
    "createTime": _BEGUN_TEXT,
    "updateTime": _ENDED_TEXT,
}
_FILMED: Final = {
    "id": "-51",
    "title": "News",
    "format": "mp4",
    "duration": 8.125,
    "cover_url": _PICTURE,
    "url": _FILM,
    "srt_url": _SUBTITLES,
    "status": Status.SUCCEEDED,
    "reason": "",
    "created": _BEGUN,
    "updated": _ENDED,
}
VIDEO_LIST = _list(
    "5.3", "videos.list", "/openapi/video/v2/pageList", _paged(10, 31, _VIDEO), _first(_FILMED)
)
VIDEO_GET = _get("5.4", "videos.get", {"video_id": -51}, "/openapi/video/v2/get/-51", _VIDEO, _FILMED)

AUDIO_CREATE = Exchange(
    documents=_ALONE,
    section="6.1",
    call="audios.create",
    arguments={"voice": "C_81", "text": "Good evening.", "callback_url": _HOOK},
    line="POST /openapi/speaker/v3/fastTts",
    body={"speakerId": "C_81", "content": "Good evening.", "callbackUrl": _HOOK},
    asked=1,
    answer=_good({"id": 306, "status": 0}),
    gives={"id": "306", "kind": Kind.AUDIO},
)


def _sound(number: int, milliseconds: int) -> dict[str, Any]:
    return {
        "id": number,
        "ttsUrl": f"http://127.0.0.1/s{number}.wav",
        "srtUrl": f"http://127.0.0.1/s{number}.srt",
        "duration": milliseconds,
        "status": 2,
    }


_HEARD: Final = {
    "id": "30",
    "url": "http://127.0.0.1/s30.wav",
    "srt_url": "http://127.0.0.1/s30.srt",
    "duration": 1.625,
    "status": Status.SUCCEEDED,
}
AUDIO_LIST = _list(
    "6.3",
    "audios.list",
    "/openapi/speaker/v2/tts/pageList",
    _paged(100, 2, _sound(30, 1625), _sound(29, 750)),
    {**_first(_HEARD), "items.1.id": "29", "items.1.duration": 0.75},
)
AUDIO_GET = _get(
    "6.4", "audios.get", {"audio_id": 30}, "/openapi/speaker/v2/tts/30", _sound(30, 1625), _HEARD
)


# -- consent for older clones --------------------------------------------------------------------------------------


def _authorized(section: str, call: str, own: dict[str, Any], path: str, sent: dict[str, Any]) -> Exchange:
    return Exchange(
        documents=_ALONE,
        section=section,
        call=call,
        arguments={**own, **_CONSENT},
        line=f"POST {path}",
        body={**sent, **_AGREED},
        asked=1,
        answer=_good(data=True),
        gives={"": True},
    )


AVATAR_AUTHORIZE = _authorized(
    "7.1", "avatars.authorize", {"avatar": "-78"}, "/openapi/video/v3/authorize", {"sceneId": -78}
)
VOICE_AUTHORIZE = _authorized(
    "7.2", "voices.authorize", {"voice": "C_81"}, "/openapi/speaker/v3/authorize", {"speakerId": "C_81"}
)


_EXCHANGES: Final = tuple(each for each in vars().values() if isinstance(each, Exchange))

PRINTED: Final = Printed(
    exchanges=_EXCHANGES,
    callbacks=CALLBACKS,
    # Request lines with access_token in the query, and answers: 1, 2.1, 2.2, 3.1, 3.3, 3.4, 4.1, 4.3, 4.4, 5.1, 5.3,
    # 5.4, 6.1, 6.3, 6.4, 7.1, 7.2. Callbacks, each with the answer that is wanted: 3.2, 4.2, 5.2, 6.2.
    counts={DOCUMENT: Count(requests=17, answers=17, callbacks=4, callback_answers=4)},
    # Each line is printed once, so these are the operations too; an example's id is ``{id}`` here.
    named={DOCUMENT: {re.sub(r"/(-?\d+|C_\d+)$", "/{id}", e.line): e.call for e in _EXCHANGES}},
)
