"""Never run: mypy checks here that a request's fields have the types users see, and that wrong ones are refused.

Each ``type: ignore`` is a proof: mypy in strict mode complains about one that is not needed.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import assert_type

import avatarkit
from avatarkit.transport.sources import Media


def what_is_taken(avatar: avatarkit.Avatar, voice: avatarkit.Voice, file: avatarkit.UploadedFile) -> None:
    """Ids or objects for avatar and voice; any material for pictures and recordings."""
    avatarkit.VideoRequest(avatar=avatar, voice=voice, text="t", language="en", title=None, size="1080p")
    avatarkit.VideoRequest(image="me.jpg", audio=Path("me.wav"), subtitles=False)
    avatarkit.VideoRequest(video=b"film", audio=io.BytesIO(b"sound"), options={"guiji": {"pn": 1}})
    avatarkit.VideoRequest(image=file, audio="https://example.com/a.mp3", subtitles=avatarkit.Subtitle())


def what_it_is_afterwards(request: avatarkit.VideoRequest) -> None:
    """No field is Any but what a provider's own options hold."""
    assert_type(request.avatar, str | avatarkit.Avatar | None)
    assert_type(request.voice, str | avatarkit.Voice | None)
    assert_type(request.image, Media | None)
    assert_type(request.video, Media | None)
    assert_type(request.audio, Media | None)
    assert_type(request.text, str | None)
    assert_type(request.size, str | None)
    assert_type(request.subtitles, bool | avatarkit.Subtitle | None)


def what_is_refused(voice: avatarkit.Voice) -> None:
    """Each of these is refused at run time as well, as InvalidRequest."""
    avatarkit.VideoRequest(avatar=5)  # type: ignore[arg-type]
    avatarkit.VideoRequest(avatar=voice)  # type: ignore[arg-type]
    avatarkit.VideoRequest(voice=b"x")  # type: ignore[arg-type]
    avatarkit.VideoRequest(text=7)  # type: ignore[arg-type]
    avatarkit.VideoRequest(image=7)  # type: ignore[arg-type]
    avatarkit.VideoRequest(audio=io.StringIO("x"))  # type: ignore[arg-type]
    avatarkit.VideoRequest(size=720)  # type: ignore[arg-type]
    avatarkit.VideoRequest(subtitles="yes")  # type: ignore[arg-type]
    avatarkit.VideoRequest(options=["pn"])  # type: ignore[arg-type]
    avatarkit.VideoRequest(options={"guiji": 3})  # type: ignore[dict-item]
    avatarkit.VideoRequest(picture="me.jpg")  # type: ignore[call-arg]
