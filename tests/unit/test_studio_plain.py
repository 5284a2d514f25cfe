"""Plain media without the extra: valid for a real decoder, and of the length asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from avatarkit import studio
from avatarkit.errors import InvalidRequest, MissingExtra


@pytest.mark.parametrize(
    ("seconds", "width", "height"), [(4.2, 180, 320), (1.0, 64, 64), (0.01, 16, 16), (7.5, 61, 99)]
)
def test_plain_video_decodes(tmp_path: Path, seconds: float, width: int, height: int) -> None:
    """A hand-written MP4 is decoded as H.264 and AAC, with the size and the duration asked for, to its last frame."""
    target = tmp_path / "plain.mp4"
    told = studio.plain_video(target, seconds=seconds, width=width, height=height)
    with av.open(str(target)) as container:
        pictures = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.audio[0].codec_context.name == "aac"
        length = container.duration / 1e6
    with av.open(str(target)) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert abs(length - seconds) <= 0.2
    assert abs(told.duration_s - length) < 0.1
    assert len(pictures) == round(told.duration_s * told.fps)
    assert pictures[0].shape == (height & ~1, width & ~1) == (told.height, told.width)
    assert (pictures[0] == pictures[-1]).all()
    assert len(np.unique(pictures[0])) > 3
    assert not sound.any()
    assert told.size_bytes == target.stat().st_size


@pytest.mark.parametrize(("kind", "codec"), [("mp3", "mp3float"), ("wav", "pcm_s16le"), ("m4a", "aac")])
def test_plain_audio_decodes(tmp_path: Path, kind: str, codec: str) -> None:
    """Each plain sound file is decoded by the codec its name promises, with the duration asked for."""
    target = tmp_path / f"plain.{kind}"
    told = studio.plain_audio(target, 3.3, kind)
    with av.open(str(target)) as container:
        frames = list(container.decode(audio=0))
        assert container.streams.audio[0].codec_context.name == codec
    length = sum(frame.samples for frame in frames) / frames[0].sample_rate
    assert length == pytest.approx(3.3, abs=0.07)
    assert told.duration_s == pytest.approx(length, abs=0.001)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 1e9])
def test_plain_media_refuse_odd_lengths(tmp_path: Path, seconds: float) -> None:
    """No length, a negative, an endless or an undefined one is refused before a file is made."""
    with pytest.raises(InvalidRequest, match="seconds"):
        studio.plain_video(tmp_path / "x.mp4", seconds=seconds)
    with pytest.raises(InvalidRequest, match="seconds"):
        studio.plain_audio(tmp_path / "x.mp3", seconds)
    assert list(tmp_path.iterdir()) == []


def test_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a wheel of the extra, the studio says which one, how to get it, and plain media still work."""
    assert studio.available()
    assert studio.missing() == []
    for name in ("av", "espeakng_loader"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(studio.__dict__, "render_video", raising=False)
    assert studio.missing() == ["av", "espeakng-loader"]
    assert not studio.available()
    with pytest.raises(MissingExtra, match="av, espeakng-loader") as caught:
        _ = studio.render_video
    assert ".[studio]" in caught.value.hint
    assert studio.plain_video(tmp_path / "x.mp4", seconds=1).duration_s == 1.0


def test_import_is_light() -> None:
    """Importing the package loads none of the heavy wheels, so it works and stays quick where they are absent."""
    code = (
        "import sys, avatarkit.studio; "
        "sys.exit(len({'av', 'numpy', 'PIL', 'espeakng_loader'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_name_is_an_attribute_error() -> None:
    """A typing mistake is reported as one, not as a missing package."""
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = studio.no_such_name  # type: ignore[attr-defined]
