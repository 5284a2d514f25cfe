"""YunApi as the engine sees it: requests made ready, answers of what makes no task, and the provider's ``SPEC``.

The operations are in ``operations.py``, the envelopes and refusals in ``envelope.py``, the reading of tasks in
``readers.py``. Source of all: the vendor's document (Apifox share "数字人"), by menu entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

import attrs

from avatarkit.errors import ProviderFault
from avatarkit.models import Kind, RawResponse, Snapshot, Voice
from avatarkit.protocol.endpoint import Accepted, Endpoint, ProviderSpec, Request, TaskKind
from avatarkit.providers.yunapi import limits, wire
from avatarkit.providers.yunapi import operations as op
from avatarkit.providers.yunapi.envelope import AGENT_OK, GATEWAY_OK, REMAKE_OK, opened, outside, shaped
from avatarkit.providers.yunapi.forms import Form
from avatarkit.providers.yunapi.models import Script
from avatarkit.providers.yunapi.readers import read_check, read_created, read_remake, read_work
from avatarkit.providers.yunapi.refs import (
    CLEAN,
    FAST,
    MODEL,
    PEOPLE,
    REMAKE,
    SPEECH,
    STANDARD,
    TIMBRE,
    V2,
    Ref,
    parse,
)

ACTS: Final[Mapping[str, str]] = {
    op.V2_CREATE.name: "create_v2",
    op.V2_CHECK.name: "chk_v2",
    op.FAST_CREATE.name: "create_video_fast",
    op.FAST_CHECK.name: "chk_video_fast",
    op.MODEL_CREATE.name: "create_model_fast",
    op.MODEL_CHECK.name: "chk_model_fast",
    op.OLD_MODEL.name: "create_model",
    op.OLD_TRAIN.name: "create_model_audio",
    op.OLD_TRAIN_CHECK.name: "chk_model_audio",
    op.OLD_SPEECH.name: "create_audio",
    op.OLD_SPEECH_CHECK.name: "chk_audio",
}
"""Operation -> ``act``."""

_CHECKS: Final[Mapping[str, tuple[Endpoint, str]]] = {
    V2: (op.V2_CHECK, "task_id"),
    FAST: (op.FAST_CHECK, "task_id"),
    MODEL: (op.MODEL_CHECK, "model_id"),
    TIMBRE: (op.OLD_TRAIN_CHECK, "task_id"),
    SPEECH: (op.OLD_SPEECH_CHECK, "task_id"),
}
_FAMILIES: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.VIDEO: (STANDARD, CLEAN, V2, FAST, REMAKE),
    Kind.AVATAR: (MODEL,),
    Kind.VOICE: (TIMBRE,),
    Kind.AUDIO: (SPEECH,),
}
_MADE: Final[Mapping[str, str]] = {
    op.V2_CREATE.name: V2,
    op.FAST_CREATE.name: FAST,
    op.MODEL_CREATE.name: MODEL,
    op.OLD_TRAIN.name: TIMBRE,
    op.OLD_SPEECH.name: SPEECH,
}


# -- requests


def form(
    endpoint: Endpoint, fields: Mapping[str, str | None], read: Callable[[RawResponse], Any]
) -> Request[Any]:
    """A request to ``agent_api.php``; fields that are None are left out."""
    sent = {
        "act": ACTS[endpoint.name],
        **{name: value for name, value in fields.items() if value is not None},
    }
    body = Form(sent)
    # The fields stand beside the stream so that a ticket can be told by their hash.
    return Request(endpoint, read, body=sent, stream=body, headers={"Content-Type": body.content_type})


def submit_form(endpoint: Endpoint, fields: Mapping[str, str | None]) -> Request[Accepted]:
    """A submission to ``agent_api.php``; the line it goes to becomes part of the task's id."""
    line = fields.get("line_type") or ""
    return form(endpoint, fields, read_created(endpoint, _MADE[endpoint.name], line))


def create_work(body: Mapping[str, Any]) -> Request[Accepted]:
    """A submission of a standard work."""
    family = CLEAN if body.get("no_watermark") else STANDARD
    return Request(op.VIDEO_CREATE, read_created(op.VIDEO_CREATE, family, ok=GATEWAY_OK), body=body)


def create_remake(body: Mapping[str, Any]) -> Request[Accepted]:
    """A submission of a remake; its good answer has no code."""
    read = read_created(op.REMAKE_CREATE, REMAKE, ok=REMAKE_OK, code_needed=False)
    return Request(op.REMAKE_CREATE, read, body=body)


def look_at(ref: Ref) -> Request[Snapshot]:
    """The request that asks for the state of *ref*, on the line it was made on."""
    if ref.family in _CHECKS:
        endpoint, name = _CHECKS[ref.family]
        return form(endpoint, {name: ref.id, "line_type": ref.line or None}, read_check(endpoint, ref))
    if ref.family == REMAKE:
        return Request(_filled(op.REMAKE_TASK, "{task_id}", ref.id), read_remake)
    return Request(_filled(op.VIDEO_TASK, "{id}", ref.id), read_work(ref))


def _filled(endpoint: Endpoint, name: str, own: str) -> Endpoint:
    # Dots alone are steps in a path, not names; quote() leaves them as they are.
    safe = quote(own, safe="") if own.strip(".") else own.replace(".", "%2E")
    return attrs.evolve(endpoint, path=endpoint.path.replace(name, safe or "%20"))


def look(kind: Kind) -> Callable[[str], Request[Snapshot]]:
    """The request that asks for the state of one task of *kind*, by its id as handles carry it."""
    families = _FAMILIES[kind]

    def request(task_id: str) -> Request[Snapshot]:
        ref = parse(task_id, families[0])
        return look_at(ref if ref.family in families else Ref(families[0], task_id))

    return request


# -- answers that make no task


def read_old_model(line: str) -> Callable[[RawResponse], Voice]:
    """Reads the answer of the deprecated ``create_model``."""

    def read(response: RawResponse) -> Voice:
        made = read_created(op.OLD_MODEL, PEOPLE, line)(response)
        return Voice(id=made.task_id, response=response)

    return read


def read_voice_model(response: RawResponse) -> Voice:
    """Reads the answer of ``/model``: HTTP 201 without an envelope."""
    payload = opened(op.VOICE_MODEL, response, AGENT_OK | GATEWAY_OK, code_needed=False, http=(200, 201))
    inner = payload.get("data")
    model = shaped(op.VOICE_MODEL, response, inner if isinstance(inner, dict) else payload, wire.VoiceModel)
    if not model.id:
        raise outside(op.VOICE_MODEL, response, "the answer has no _id")
    if model.state == "failed":
        raise ProviderFault(
            f"the voice model {model.id} was made, but its training failed",
            provider="yunapi",
            endpoint=op.VOICE_MODEL.name,
            http_status=response.status,
            response=response,
        )
    languages = model.languages if isinstance(model.languages, list) else []
    return Voice(
        id=model.id,
        title=model.title,
        public=model.visibility == "public",
        languages=tuple(str(language) for language in languages if isinstance(language, str)),
        extra={**model.extra, "state": model.state},
        response=response,
    )


def read_script(response: RawResponse) -> Script:
    """Reads the answer of ``/chat/completions``: the text of the first choice."""
    payload = opened(op.REWRITE, response, GATEWAY_OK, code_needed=False)
    found = shaped(op.REWRITE, response, payload, wire.Completion)
    first = found.choices[0] if isinstance(found.choices, list) and found.choices else None
    message = first.get("message") if isinstance(first, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):  # OpenAI's form for mixed content
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str) or not content.strip():
        raise outside(op.REWRITE, response, "the answer has no text in it")
    return Script(text=content, model=found.model or "", extra=found.extra, response=response)


def read_not_sound(response: RawResponse) -> None:
    """Reads an answer of ``/v1/tts`` that is no sound: always an error, also with HTTP 200.

    Raises:
        ProviderError: always.

    """
    opened(op.TTS, response, (), code_needed=False, http=())
    raise outside(op.TTS, response, "the answer is no sound")


def _kind(kind: Kind, pool: str = "") -> TaskKind:
    prior = limits.DURATIONS[kind.value]
    return TaskKind(kind=kind, look=look(kind), pool=pool, median=prior.median, p95=prior.p95)


SPEC = ProviderSpec(
    name="yunapi",
    title="YunApi",
    base_url="https://api.yunai.xyz",
    base_url_variable="YUNAPI_BASE_URL",
    credentials=("YUNAPI_KEY",),
    kinds={
        Kind.VIDEO: _kind(Kind.VIDEO, op.WORKS),
        Kind.AUDIO: _kind(Kind.AUDIO, op.WORKS),
        Kind.AVATAR: _kind(Kind.AVATAR),
        Kind.VOICE: _kind(Kind.VOICE),
    },
    endpoints=op.ALL,
    per_second=limits.PER_SECOND,
)


def read_any(endpoint: Endpoint) -> Callable[[RawResponse], Any]:
    """The reader of *endpoint*'s answers, with neutral values where it needs some (for tests over all endpoints)."""
    if endpoint.name in _MADE:
        return read_created(endpoint, _MADE[endpoint.name])
    for family, (check, _) in _CHECKS.items():
        if check is endpoint:
            return read_check(check, Ref(family, ""))
    readers: dict[str, Callable[[RawResponse], Any]] = {
        op.VIDEO_CREATE.name: create_work({}).read,
        op.VIDEO_TASK.name: read_work(Ref(STANDARD, "")),
        op.OLD_MODEL.name: read_old_model(""),
        op.VOICE_MODEL.name: read_voice_model,
        op.TTS.name: read_not_sound,
        op.REWRITE.name: read_script,
        op.REMAKE_CREATE.name: create_remake({}).read,
        op.REMAKE_TASK.name: read_remake,
    }
    return readers[endpoint.name]
