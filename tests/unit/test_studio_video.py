"""Films: what a decoder, an eye and an ear would check."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from avatarkit.errors import InvalidRequest
from avatarkit.studio import (
    Rendered,
    Speech,
    SubtitleStyle,
    Word,
    render_audio,
    render_video,
    sample_picture,
    sample_video,
    speak,
)
from avatarkit.studio.animate import blinks, follow
from avatarkit.studio.face import Face, estimate_face, face_from_text
from avatarkit.studio.fonts import font_for, has_glyph
from avatarkit.studio.portrait import draw_portrait
from avatarkit.studio.subtitle import cut, timed_words

_SIZE = (360, 640)
_BOX = SubtitleStyle(width=900, height=160, pos_x=90, pos_y=1600, font_size=80)
_Frames = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("studio") / "presenter.png"
    sample_picture(target, size=_SIZE)
    return target


@pytest.fixture(scope="module")
def said() -> Speech:
    return speak("Welcome to the tour. 大家好, let us begin now.")


def _frames(path: Path) -> _Frames:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def _sound(path: Path) -> npt.NDArray[np.float32]:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def _openness(frames: _Frames, face: Face) -> npt.NDArray[np.float64]:
    """Dark and reddish pixels around the mouth, per frame: the inside of an open mouth and nothing else there."""
    (x, y), half = face.mouth.centre, face.mouth.width / 2
    area = frames[:, int(y - 0.5 * half) : int(y + 1.1 * half), int(x - half) : int(x + half)].astype(int)
    inside = (area[..., 0] < 95) & (area[..., 1] < 45) & (area[..., 2] < 55)
    return inside.sum((1, 2)).astype(float)


def _loudness(speech: Speech, frames: int, fps: int) -> npt.NDArray[np.float64]:
    step = speech.sample_rate // fps
    padded = np.pad(speech.samples.astype(float), (0, step * frames))[: step * frames]
    return np.sqrt((padded.reshape(frames, step) ** 2).mean(1))


def test_film_is_what_players_play(tmp_path: Path, portrait: Path, said: Speech) -> None:
    """H.264 in yuv420p and AAC, index before data, as long as the speech, in the picture's size, with its sound."""
    target = tmp_path / "a.mp4"
    told = render_video(target, speech=said, picture=portrait)
    with av.open(str(target)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert video.codec_context.pix_fmt == "yuv420p"
        assert (video.width, video.height) == _SIZE == (told.width, told.height)
        assert float(video.average_rate) == 25
        length = container.duration / 1e6
        assert video.frames == round(told.duration_s * 25)
    assert length == pytest.approx(said.duration_s, abs=0.2)
    assert told.duration_s == pytest.approx(said.duration_s, abs=0.05)
    data = target.read_bytes()
    assert told.size_bytes == len(data)
    assert data.index(b"moov") < data.index(b"mdat")
    assert np.sqrt((_sound(target) ** 2).mean()) > 0.02


def test_mouth_follows_the_sound(tmp_path: Path, portrait: Path, said: Speech) -> None:
    """How far the mouth is seen open goes with how loud it is; in the silence after the speech it stays shut."""
    silence = np.zeros(said.sample_rate, np.int16)
    speech = Speech(samples=np.concatenate([said.samples, silence]), sample_rate=said.sample_rate)
    render_video(tmp_path / "a.mp4", speech=speech, picture=portrait)
    frames = _frames(tmp_path / "a.mp4")
    seen = _openness(frames, draw_portrait(1, _SIZE)[1])
    heard = _loudness(speech, len(frames), 25)
    assert np.corrcoef(seen, heard)[0, 1] > 0.5
    assert seen.max() > 60
    assert seen[-20:].max() <= 2


def test_presenter_is_alive_but_calm(tmp_path: Path, portrait: Path) -> None:
    """In silence the head moves a little and the eyes blink, while the room stands still."""
    still = Speech(samples=np.zeros(22050 * 2, np.int16), sample_rate=22050)
    render_video(tmp_path / "a.mp4", speech=still, picture=portrait)
    frames = _frames(tmp_path / "a.mp4").astype(int)
    face = draw_portrait(1, _SIZE)[1]
    eye = face.eyes[0]
    area = frames[:, int(eye.top) : int(eye.top + eye.height), int(eye.left) : int(eye.left + eye.width)]
    white = (area.min(3) > 190).sum((1, 2))
    assert white.min() < 0.4 * np.median(white)
    hair = frames[:, int(face.head.top) : int(face.head.top) + 40, 100:260]
    assert np.abs(hair[25] - hair[0]).mean() > 1
    assert np.abs(frames[:, 500:, :60] - frames[0, 500:, :60]).mean() < 2
    assert _openness(frames.astype(np.uint8), face).max() <= 2


def test_subtitles_only_when_asked(tmp_path: Path, portrait: Path, said: Speech) -> None:
    """The box shows white text while words are spoken, if and only if a style was given; nothing else changes."""
    render_video(tmp_path / "with.mp4", speech=said, picture=portrait, subtitle=_BOX)
    render_video(tmp_path / "without.mp4", speech=said, picture=portrait)
    with_text, without = _frames(tmp_path / "with.mp4")[::6], _frames(tmp_path / "without.mp4")[::6]
    box = np.s_[:, 533:587, 30:330]
    assert ((with_text[box].min(3) > 235).sum((1, 2)) > 100).mean() > 0.8
    assert (without[box].min(3) > 235).sum() == 0
    above = np.s_[:, :500]
    assert np.abs(with_text[above].astype(int) - without[above]).mean() < 1.5


def test_subtitle_leaves_with_its_words(tmp_path: Path, portrait: Path) -> None:
    """A phrase is shown from its first word until half a second after its last; no rest of it stays behind."""
    words = (Word("once", 0.4, 0.8),)
    speech = Speech(samples=np.zeros(22050 * 2, np.int16), sample_rate=22050, words=words)
    render_video(tmp_path / "a.mp4", speech=speech, picture=portrait, subtitle=_BOX)
    shown = (_frames(tmp_path / "a.mp4")[:, 533:587, 30:330].min(3) > 235).sum((1, 2)) > 40
    assert shown[10:32].all()
    assert not shown[:10].any()
    assert not shown[34:].any()


def test_text_of_a_recording_is_spread_over_it(tmp_path: Path, portrait: Path, said: Speech) -> None:
    """An audio file knows no words; the text given is timed by its length, inside the part that is loud."""
    render_audio(tmp_path / "s.mp3", said, format="mp3")
    told = render_video(
        tmp_path / "a.mp4",
        speech=tmp_path / "s.mp3",
        picture=portrait,
        text="你好 there, my friend",
        subtitle=_BOX,
    )
    assert told.duration_s == pytest.approx(said.duration_s, abs=0.15)
    assert (_frames(tmp_path / "a.mp4")[:, 533:587, 30:330].min(3) > 235).sum() > 1000
    quiet = np.zeros(22050, np.int16)
    padded = Speech(samples=np.concatenate([quiet, said.samples]), sample_rate=22050)
    timed = timed_words(padded, "你好 there, my friend")
    assert [word.text.strip() for word in timed] == ["你", "好", "there,", "my", "friend"]
    assert 0.9 < timed[0].start_s < 1.2
    assert timed[-1].end_s <= padded.duration_s


def test_phrases_fit_and_follow_each_other() -> None:
    """Phrases break at sentence ends or when full, none overlaps the next, and no word is lost."""
    words = [Word(f"w{n}. " if n == 3 else f"w{n} ", n * 0.5, n * 0.5 + 0.4) for n in range(9)]
    cues = cut(words, lambda phrase: (phrase,) if len(phrase) <= 11 else None)
    assert " ".join(cue.lines[0] for cue in cues) == "w0 w1 w2 w3. w4 w5 w6 w7 w8"
    assert [cue.lines[0] for cue in cues] == ["w0 w1 w2", "w3.", "w4 w5 w6 w7", "w8"]
    assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(cues))
    assert cut([], lambda phrase: (phrase,)) == []


def test_chinese_glyphs_are_real() -> None:
    """Chinese is drawn as itself: characters differ from each other and from the box for missing glyphs."""
    text = "你好世界产品介绍数字人"
    font = font_for(text + "abc", 48)
    assert all(has_glyph(font, c) for c in text + "abcXYZ0189")
    assert len({bytes(font.getmask(c)) for c in text}) == len(set(text))
    assert not has_glyph(font, "\ufffe")
    assert font.getmask("你").getbbox() is not None


@pytest.mark.parametrize("name", ["No Such Font", "../../etc/passwd", "/etc/passwd", "", "\x00"])
def test_unknown_fonts_fall_back(name: str) -> None:
    """A font name from a request never fails the render and never opens a file by path."""
    assert has_glyph(font_for("好", 30, name), "好")


def test_source_video_talks(tmp_path: Path, said: Speech) -> None:
    """A clip of the presenter, shorter than the speech, is played on and on with the mouth moving to the sound."""
    told = sample_video(tmp_path / "clip.mp4", 1.0, size=_SIZE)
    assert told == Rendered(
        duration_s=1.0, width=360, height=640, fps=25, size_bytes=(tmp_path / "clip.mp4").stat().st_size
    )
    render_video(tmp_path / "a.mp4", speech=said, source_video=tmp_path / "clip.mp4")
    frames = _frames(tmp_path / "a.mp4")
    assert len(frames) / 25 == pytest.approx(said.duration_s, abs=0.05)
    seen = _openness(frames, draw_portrait(1, _SIZE)[1])
    assert np.corrcoef(seen, _loudness(said, len(frames), 25))[0, 1] > 0.5


def test_sample_clip_does_not_talk(tmp_path: Path) -> None:
    """The clip made as avatar material blinks with its mouth shut."""
    sample_video(tmp_path / "clip.mp4", 1.6, size=_SIZE)
    assert _openness(_frames(tmp_path / "clip.mp4"), draw_portrait(1, _SIZE)[1]).max() <= 2


def test_foreign_pictures_of_any_kind(tmp_path: Path) -> None:
    """Grey, transparent, rotated, tiny and odd-sized pictures all become a film with even sides."""
    image = draw_portrait(2, (301, 403))[0]
    speech = speak("Hi.")
    image.convert("L").save(tmp_path / "grey.png")
    cut_out = image.convert("RGBA")
    cut_out.putalpha(Image.radial_gradient("L").resize(image.size))
    cut_out.save(tmp_path / "clear.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=turned)
    image.resize((9, 12)).save(tmp_path / "tiny.png")
    image.convert("P").save(tmp_path / "palette.gif")
    expected = {
        "grey.png": (300, 402),
        "clear.png": (300, 402),
        "turned.jpg": (402, 300),
        "tiny.png": (64, 64),
        "palette.gif": (300, 402),
    }
    for name, size in expected.items():
        told = render_video(tmp_path / "a.mp4", speech=speech, picture=tmp_path / name)
        assert (told.width, told.height) == size, name


def test_size_is_kept_or_made_to_fit(tmp_path: Path, portrait: Path) -> None:
    """A size asked for is filled without distortion; without one a large picture is reduced to 720 by 1280."""
    speech = speak("Hi.")
    wide = render_video(tmp_path / "a.mp4", speech=speech, picture=portrait, size=(321, 241), fps=10)
    assert (wide.width, wide.height, wide.fps) == (320, 240, 10)
    draw_portrait(1, (1440, 2560))[0].save(tmp_path / "large.jpg", quality=60)
    large = render_video(tmp_path / "a.mp4", speech=speech, picture=tmp_path / "large.jpg", fps=5)
    assert (large.width, large.height) == (720, 1280)


def test_bad_material_is_refused(tmp_path: Path, portrait: Path) -> None:
    """What cannot be read is told as a bad request, and no half film is left behind."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(portrait.read_bytes()[:500])
    speech = speak("Hi.")
    target = tmp_path / "a.mp4"
    with pytest.raises(InvalidRequest, match="picture"):
        render_video(target, speech=speech, picture=broken)
    with pytest.raises(InvalidRequest, match="source_video"):
        render_video(target, speech=speech, source_video=broken)
    with pytest.raises(InvalidRequest, match="fps"):
        render_video(target, speech=speech, fps=0)
    with pytest.raises(InvalidRequest, match="size"):
        render_video(target, speech=speech, size=(10, 10))
    with pytest.raises(FileNotFoundError):
        render_video(target, speech=speech, picture=tmp_path / "absent.png")
    assert not target.exists()


def test_interrupted_film_is_removed(tmp_path: Path, portrait: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If rendering fails midway, the unfinished file goes."""
    calls = iter(range(5))

    def stop_at_the_fifth(*_: object) -> None:
        next(calls)

    monkeypatch.setattr("avatarkit.studio.subtitle.Subtitles.burn", stop_at_the_fifth)
    with pytest.raises(StopIteration):
        render_video(tmp_path / "a.mp4", speech=speak("Hello there"), picture=portrait, subtitle=_BOX)
    assert not (tmp_path / "a.mp4").exists()


def test_speech_without_sound(tmp_path: Path, portrait: Path) -> None:
    """No samples at all still make a (one frame) film that opens."""
    told = render_video(
        tmp_path / "a.mp4", speech=Speech(samples=np.zeros(0, np.int16), sample_rate=22050), picture=portrait
    )
    assert told.duration_s == pytest.approx(0.04)
    assert len(_frames(tmp_path / "a.mp4")) == 1


def test_two_films_at_once(tmp_path: Path, portrait: Path) -> None:
    """Two threads render at the same time and each film has its own length."""
    texts = ["One.", "This one is a good deal longer than the other."]
    told: dict[int, Rendered] = {}

    def make(number: int) -> None:
        told[number] = render_video(tmp_path / f"{number}.mp4", speech=speak(texts[number]), picture=portrait)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for number, text in enumerate(texts):
        assert told[number].duration_s == pytest.approx(speak(text).duration_s, abs=0.06)
        assert len(_frames(tmp_path / f"{number}.mp4")) == round(told[number].duration_s * 25)


def test_portraits_differ_and_remember_their_face(tmp_path: Path) -> None:
    """Every seed is someone else, and PNG and JPEG tell where the face is."""
    seen = []
    for seed in range(1, 5):
        target = tmp_path / f"{seed}.{'png' if seed % 2 else 'jpg'}"
        sample_picture(target, seed=seed, size=_SIZE)
        with Image.open(target) as image:
            known = face_from_text({str(k): v for k, v in image.info.items()}, image.size)
            seen.append(np.asarray(image.convert("RGB")).astype(int))
        assert known is not None
        assert known.mouth.centre == pytest.approx(draw_portrait(seed, _SIZE)[1].mouth.centre, abs=0.1)
    assert all(np.abs(seen[0] - other).mean() > 4 for other in seen[1:])


@pytest.mark.parametrize(
    "mark",
    [
        "",
        "{}",
        "[]",
        "3",
        '{"size":[0,1],"boxes":[[1,1,1,1],[1,1,1,1]]}',
        '{"size":[9,9],"boxes":[[1e99,1,1,1],[1,1,1,1]]}',
        '{"size":[9,9],"boxes":[[1,1,9,9],[NaN,1,1,1]]}',
    ],
)
def test_odd_marks_are_ignored(mark: str) -> None:
    """A face mark someone else wrote, or broke, is no face rather than an error."""
    assert face_from_text({"avatarkit-face": mark, "comment": mark}, (100, 100)) is None


@pytest.mark.parametrize("seed", range(1, 8))
@pytest.mark.parametrize("size", [(360, 640), (300, 300), (640, 360)])
def test_estimate_finds_the_face(seed: int, size: tuple[int, int]) -> None:
    """On portraits it was not told about, the estimated mouth is within hundredths of a head of its place."""
    image, known = draw_portrait(seed, size)
    guess = estimate_face(image)
    (x, y), (gx, gy) = known.mouth.centre, guess.mouth.centre
    assert abs(gx - x) < 0.1 * known.head.width
    assert abs(gy - y) < 0.06 * known.head.height


def test_estimate_of_no_face_is_in_the_picture() -> None:
    """Without anything like skin the usual place is taken."""
    for size in ((640, 480), (100, 900)):
        x, y = estimate_face(Image.new("RGB", size, (20, 90, 40))).mouth.centre
        assert 0.3 * size[0] < x < 0.7 * size[0]
        assert 0 < y < size[1]


def test_track_is_still_in_silence_and_bounded() -> None:
    """Silence and faint noise open no mouth; the loudest sound opens it fully and never more."""
    quiet = Speech(samples=np.zeros(22050, np.int16), sample_rate=22050)
    assert follow(quiet, 25, 25).opening.max() == 0
    noise = np.random.default_rng(1).normal(0, 12, 22050).astype(np.int16)
    assert follow(Speech(samples=noise, sample_rate=22050), 25, 25).opening.max() == 0
    loud = Speech(samples=np.full(22050, 32767, np.int16), sample_rate=22050)
    track = follow(loud, 25, 25)
    assert 0.9 < track.opening.max() <= 1
    assert np.abs(track.width).max() <= 1


def test_blinks_are_regular_and_short() -> None:
    """Within a minute the eyes blink 12 to 30 times, are open most of the time, and never rest shut."""
    shut = blinks(60 * 25, 25, seed=3)
    starts = ((shut[1:] > 0) & (shut[:-1] == 0)).sum()
    assert 12 <= starts <= 30
    assert (shut > 0).mean() < 0.1
    assert shut.max() == 1
