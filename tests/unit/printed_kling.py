"""The examples of Kling's document on avatars: two ways to write a picture, and three answers.

The document prints no request body; the body here has every field of its table. Its answers have comments in them and
the word "string" for most values, so the values here are of the kind that the comments describe.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from printed import Count, Exchange, Printed

from avatarkit.models import Kind, Status
from avatarkit.protocol.samples import png
from avatarkit.settings import CallOptions

DOCUMENT: Final = "Kling"
_ALONE: Final = (DOCUMENT,)
_PATH: Final = "/v1/videos/avatar/image2video"
_ID: Final = "840000000000000071"
_FILM: Final = "https://media.example.com/bs/-71/out.mp4"
_SOUND: Final = "https://media.example.com/ines.mp3"
_INFO: Final = {"external_task_id": "ours-71"}
_TIMES: Final = {"created_at": 1790000001500, "updated_at": 1790000002750}
_SMALL: Final = png(5, 5)

RIGHT_PICTURE: Final = base64.b64encode(_SMALL).decode()
"""A picture as the document wants it: 5 pixels a side, as there, and nothing in front."""
WRONG_PICTURE: Final = f"data:image/png;base64,{RIGHT_PICTURE}"
"""A picture as the document does not want it."""


def _good(data: Any) -> dict[str, Any]:
    return {"code": 0, "message": "SUCCEED", "request_id": "rq-71", "data": data}


_TASK: Final = {
    "task_id": _ID,
    "task_status": "succeed",
    "task_status_msg": "",
    "task_info": _INFO,
    **_TIMES,
    "task_result": {"videos": [{"id": "840000000000000072", "url": _FILM, "duration": "7.1"}]},
}
_KNOWN: Final = {
    "id": _ID,
    "external_id": "ours-71",
    "created_at": 1790000001.5,
    "updated_at": 1790000002.75,
    "status": Status.SUCCEEDED,
    "snapshot.raw_status": "succeed",
    "snapshot.result.id": "840000000000000072",
    "snapshot.result.url": _FILM,
    "snapshot.result.duration": 7.1,
}

CREATE = Exchange(
    documents=_ALONE,
    section="create task",
    call="videos.create_avatar",
    arguments={
        "image": _SMALL,
        "sound_file": _SOUND,
        "prompt": "nods",
        "mode": "std",
        "callback_url": "https://hooks.example.com/k/1",
        "external_task_id": "ours-71",
        "options": CallOptions(preflight=False),  # five pixels are fewer than the vendor takes
    },
    line=f"POST {_PATH}",
    body={
        "image": RIGHT_PICTURE,
        "sound_file": _SOUND,
        "prompt": "nods",
        "mode": "std",
        "callback_url": "https://hooks.example.com/k/1",
        "external_task_id": "ours-71",
    },
    asked=1,
    answer=_good({"task_id": _ID, "task_status": "submitted", "task_info": _INFO, **_TIMES}),
    gives={"id": _ID, "kind": Kind.VIDEO},
)
GET = Exchange(
    documents=_ALONE,
    section="query task (single)",
    call="videos.get",
    arguments={"task_id": _ID},
    line=f"GET {_PATH}/{_ID}",
    asked=0,
    answer=_good(_TASK),
    gives=_KNOWN,
)
LIST = Exchange(
    documents=_ALONE,
    section="query task (list)",
    call="videos.list",
    line=f"GET {_PATH}",
    query={"pageNum": "1", "pageSize": "30"},
    asked=0,
    answer=_good([_TASK]),
    gives={f"items.0.{name}": value for name, value in _KNOWN.items()},
)

PRINTED: Final = Printed(
    exchanges=(CREATE, GET, LIST),
    # The right and the wrong way to write a picture; answers to create, single and list.
    counts={DOCUMENT: Count(requests=2, answers=3)},
    elsewhere={DOCUMENT: 1},  # the wrong way
    named={
        DOCUMENT: {
            f"POST {_PATH}": "videos.create_avatar",
            f"GET {_PATH}/{{id}}": "videos.get",
            f"GET {_PATH}": "videos.list",
        }
    },
)
