"""Calls of YunApi's client that must be refused before anything is sent."""

from __future__ import annotations

from typing import Any, Final

from avatarkit.protocol.samples import LocalFile, Mistake, png, wav
from avatarkit.providers.yunapi.models import CreateVoice, UseVoice

_CLIP: Final = "https://media.example.com/clips/presenter.mp4"
_SOUND: Final = "https://media.example.com/sounds/speech.mp3"
_PICTURE: Final = "https://media.example.com/pictures/face.jpg"
_CLONED: Final = CreateVoice(audio=_SOUND, language="zh", text="早上好")
_STOCK: Final = UseVoice(voice_engine_id="nina", audio_id="0" * 32, language="en", text="Good morning.")


def _mistake(label: str, method: str, names: str, **arguments: Any) -> Mistake:
    return Mistake(label=label, method=method, arguments=arguments, names=tuple(names.split()))


MISTAKES: Final = (
    _mistake("nothing to say", "videos.create", "audio", avatar=_PICTURE),
    _mistake("sound and voice", "videos.create", "audio", avatar=_PICTURE, audio=_SOUND, use_voice=_STOCK),
    _mistake("two voices", "videos.create", "audio", avatar=_CLIP, create_voice=_CLONED, use_voice=_STOCK),
    _mistake("a URL that is none", "videos.create", "avatar", avatar="ftp://x/y.png", audio=_SOUND),
    _mistake("a blank in a URL", "videos.create", "audio", avatar=_CLIP, audio="https://x.example/a b"),
    _mistake(
        "a mark that is none", "videos.create", "no_watermark", avatar=_CLIP, audio=_SOUND, no_watermark=1
    ),
    _mistake(
        "an empty voice",
        "videos.create",
        "language text create_voice.audio",
        avatar=_CLIP,
        create_voice=CreateVoice(audio="ftp://x", language="", text=" "),
    ),
    _mistake("a line that is none", "videos.create_v2", "line_type", video=_CLIP, audio=_SOUND, line_type=2),
    _mistake(
        "a model of another line",
        "videos.create_fast",
        "line_type",
        avatar="model:1:28",
        audio=_SOUND,
        line_type=0,
    ),
    _mistake("a task for a model", "videos.create_fast", "avatar", avatar="v2:1:28", audio=_SOUND),
    _mistake("no model", "videos.create_fast", "avatar", avatar="", audio=_SOUND),
    _mistake("no name", "avatars.create_fast", "model_name", video=_CLIP, model_name=" "),
    _mistake("no subtitles", "remakes.create", "text", video=_CLIP, text=""),
    _mistake("no list", "remakes.create", "floating_text", video=_CLIP, text="x", floating_text="y"),
    _mistake("no task id", "videos.task", "task_id", task_id=" "),
    _mistake("a task of another kind", "videos.check_v2", "task_id", task_id="fast:1:3"),
    _mistake("a URL for a recording", "voices.create_model", "voices", voices=_SOUND, title="N"),
    _mistake("no recordings", "voices.create_model", "voices", voices=[], title="N"),
    _mistake(
        "public without a cover",
        "voices.create_model",
        "cover_image",
        voices=wav(),
        title="N",
        visibility="public",
    ),
    _mistake("too many texts", "voices.create_model", "texts", voices=wav(), title="N", texts=["a", "b"]),
    _mistake(
        "a missing recording",
        "voices.create_model",
        "voices",
        voices=LocalFile(name="nowhere.wav"),
        title="N",
    ),
    _mistake("a picture for a recording", "voices.create_model", "voices", voices=png(), title="N"),
    _mistake(
        "words out of a few",
        "voices.create_model",
        "train_mode visibility",
        voices=wav(),
        title="N",
        train_mode="slow",
        visibility="secret",
    ),
    _mistake("nothing to rewrite", "scripts.rewrite", "text"),
    _mistake("too hot", "scripts.rewrite", "temperature", text="x", temperature=1.5),
    _mistake(
        "every figure",
        "audios.tts",
        "text chunk_length format mp3_bitrate latency temperature top_p model",
        text="",
        path=LocalFile(name="never.mp3"),
        chunk_length=99,
        format="flac",
        mp3_bitrate=100,
        latency="low",
        temperature=3,
        top_p=0,
        model="s9",
    ),
)
"""All of them."""
