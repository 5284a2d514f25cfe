"""What YunApi makes at once, seen from the other side: voice models, speech, scripts."""

from __future__ import annotations

from typing import Final

from avatarkit.protocol.fakewire import FakeResponse, json_response, speech_seconds
from avatarkit.protocol.samples import wav
from avatarkit.providers.yunapi.fake_call import PROVIDER, Call, Refused
from avatarkit.providers.yunapi.fake_form import read_form

# One silent frame of MPEG 1 layer III: 128 kbit/s, 44.1 kHz, mono, 417 bytes for 26 ms.
_SILENT_FRAME: Final = b"\xff\xfb\x90\xc4" + bytes(413)
_FRAMES_A_SECOND: Final = 44_100 / 1152


def voice_model(call: Call) -> FakeResponse:
    """``POST /model``."""
    try:
        parts = read_form(call.request.headers.get("content-type", ""), call.request.body)
    except ValueError:
        raise Refused("invalid") from None
    files = [part for part in parts if part.name == "voices" and part.filename is not None and part.content]
    visibility = call.text("visibility", required=False) or "public"
    covered = any(part.name == "cover_image" and part.content for part in parts)
    texts = [part for part in parts if part.name == "texts"]
    if (
        call.text("type") != "tts"
        or call.text("train_mode") not in ("fast", "full")
        or visibility not in ("public", "unlist", "private")
        or (visibility == "public" and not covered)
        or not files
        or (texts and len(texts) != len(files))
    ):
        raise Refused("invalid")
    title = call.text("title")
    call.charge(float(call.switch("price_model")))
    own = call.world.new_id().hex()[:24]
    call.world.memory(PROVIDER).setdefault("voices", {})[own] = call.account.key
    body = {
        "_id": own,
        "type": "tts",
        "title": title,
        "description": call.text("description", required=False),
        "state": call.switch("train_state"),
        "visibility": visibility,
        "languages": ["zh"],
        "samples": [],
        "train_mode": call.text("train_mode"),
        "like_count": 0,
    }
    return json_response(body, status=201)


def tts(call: Call) -> FakeResponse:
    """``POST /v1/tts``."""
    text, form = call.text("text"), call.text("format", required=False) or "mp3"
    voices = call.world.memory(PROVIDER).get("voices", {})
    reference = call.text("reference_id", required=False)
    if form not in ("mp3", "wav", "pcm", "opus") or (reference and voices.get(reference) != call.account.key):
        raise Refused("invalid")
    if call.request.headers.get("model", "speech-1.5") not in ("speech-1.5", "speech-1.6", "s1", "s1-mini"):
        raise Refused("invalid")
    call.charge(float(call.switch("price_audio")))
    if call.switch("tts_json"):
        return json_response({"message": "upstream failed", "status": 500})
    kind, body = _sound(form, speech_seconds(text))
    return FakeResponse(headers={"content-type": kind}, body=body)


def _sound(form: str, seconds: float) -> tuple[str, bytes]:
    if form == "wav":
        return "audio/wav", wav(seconds, 8000)
    if form == "pcm":
        return "audio/pcm", bytes(int(seconds * 44_100) * 2)
    if form == "opus":
        return "audio/opus", b"OggS" + bytes(2000)
    return "audio/mpeg", _SILENT_FRAME * max(1, int(seconds * _FRAMES_A_SECOND))


def rewrite(call: Call) -> FakeResponse:
    """``POST /chat/completions``."""
    messages = call.fields.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict) or not isinstance(last.get("content"), str):
        raise Refused("invalid")
    call.charge(float(call.switch("price_script")))
    message = {"role": "assistant", "content": f"改写 {last['content']}"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    body = {
        "id": "chatcmpl-" + call.world.new_id().hex()[:12],
        "object": "chat.completion",
        "model": call.fields.get("model") or "gpt-4o-image",
        "choices": [choice],
        "usage": usage,
    }
    return json_response(body)
