"""Speech: sound, language, word times, odd input, threads."""

from __future__ import annotations

import threading
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from avatarkit.errors import InvalidRequest
from avatarkit.studio import Speech, Timbre, load_speech, render_audio, sample_voice, speak
from avatarkit.studio.speech import _ENGINE, _runs, _short_path


def _rms(speech: Speech) -> float:
    return float(np.sqrt((speech.samples.astype(float) ** 2).mean()))


def test_english_and_chinese_are_heard() -> None:
    """Both languages give sound of a plausible length, and their words in order inside it."""
    for text, least in (("Welcome to the product tour.", 1.2), ("欢迎观看今天的产品介绍。", 1.8)):
        said = speak(text)
        assert said.sample_rate == 22050
        assert said.samples.dtype == np.int16
        assert _rms(said) > 500
        assert least < said.duration_s < 6
        assert "".join(word.text for word in said.words) == text
        starts = [word.start_s for word in said.words]
        assert starts == sorted(starts)
        assert all(0 <= word.start_s <= word.end_s <= said.duration_s + 1e-6 for word in said.words)


def test_each_script_gets_its_voice() -> None:
    """A mixed text is cut where the script changes; digits and marks stay with the words before them."""
    assert _runs("Hello 世界, version 2.0!今天3点", None) == [
        ("en-us", "Hello "),
        ("cmn", "世界, "),
        ("en-us", "version 2.0!"),
        ("cmn", "今天3点"),
    ]
    assert [voice for voice, _ in _runs("Guten Tag, 你好", "de")] == ["de", "cmn"]
    assert _runs("12:30", "zh-CN") == [("cmn", "12:30")]
    assert _runs("こんにちは世界", None)[0][0] == "ja"


def test_chinese_is_not_read_as_english() -> None:
    """The Mandarin voice is really used: an English one calls every character "Chinese letter", twice as long."""
    text = "大家好欢迎观看"
    english, _, rate = _ENGINE.say(text, "en-us", rate=1.0, pitch=1.0)
    assert speak(text).duration_s < 0.5 * len(english) / rate
    assert len(speak(text).words) >= 5


def test_mixed_text_keeps_word_times_in_order() -> None:
    """Times go on across the pieces, so that subtitles of a mixed text never jump back."""
    said = speak("Hello 世界, this is 阿凡达 kit 2.0. 再见")
    starts = [word.start_s for word in said.words]
    assert starts == sorted(starts)
    assert "".join(word.text for word in said.words) == "Hello 世界, this is 阿凡达 kit 2.0. 再见"


@pytest.mark.parametrize(
    "text", ["", "   \n", "...", "\x00\x01\x1b", "😀", "a\ud800b", "<speak>&amp;</speak>", "[[x]]"]
)
def test_odd_text_does_no_harm(text: str) -> None:
    """Empty, broken or command-like text gives some sound or silence, never an error and never nothing at all."""
    assert 0 < speak(text).duration_s < 10


def test_rate_volume_and_pitch_are_heard() -> None:
    """Faster is shorter, louder is louder (and clipped, not wrapped), and silence is silent."""
    text = "one two three four five six"
    usual = speak(text)
    assert speak(text, rate=1.8).duration_s < 0.75 * usual.duration_s
    assert speak(text, rate=0.6).duration_s > 1.3 * usual.duration_s
    assert _rms(speak(text, volume=0.5)) == pytest.approx(_rms(usual) / 2, rel=0.1)
    assert _rms(speak(text, volume=50.0)) > 3 * _rms(usual)
    assert not speak(text, volume=0).samples.any()
    assert _tone(speak(text, pitch=1.7)) > 1.15 * _tone(speak(text, pitch=0.5))


def _tone(speech: Speech) -> float:
    """Fundamental frequency in Hz: the commonest peak of the autocorrelation over loud windows."""
    found = []
    for begin in range(0, len(speech.samples) - 1024, 1024):
        part = speech.samples[begin : begin + 1024].astype(float)
        if part.std() > 1500:
            same = np.correlate(part, part, "full")[1023:]
            found.append(speech.sample_rate / (60 + int(same[60:400].argmax())))
    return float(np.median(found))


def test_cloned_voices_differ() -> None:
    """Two voice ids sound different; the same id has the same settings every time, inside the stated limits."""
    voices = [Timbre(f"voice-{n}") for n in range(12)]
    assert Timbre("voice-3") == voices[3]
    assert len({(v.variant, v.pitch, v.rate) for v in voices}) == 12
    assert all(0.8 <= v.pitch <= 1.2 and 0.92 <= v.rate <= 1.08 for v in voices)
    lengths = {round(speak("The same words again.", timbre=v).duration_s, 2) for v in voices}
    assert len(lengths) > 5


def test_long_text_stays_small() -> None:
    """Ten thousand characters become minutes of sound held once, at 44 kB a second, words included."""
    text = "这是一个很长的文本, with some English. " * 340
    said = speak(text, rate=2.0)
    assert len(text) > 10_000
    assert said.samples.nbytes < 120_000_000
    assert said.duration_s > 500
    assert len(said.words) > 3000


def test_threads_take_turns() -> None:
    """Eight threads that speak at once each get their own text, whole."""
    texts = ["Short.", "A rather longer sentence about nothing at all.", "你好", "一二三四五六七八九十"] * 2
    alone = [speak(text).duration_s for text in texts]
    got: dict[int, Speech] = {}
    threads = [
        threading.Thread(target=lambda n=n, t=t: got.__setitem__(n, speak(t))) for n, t in enumerate(texts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for number, text in enumerate(texts):
        assert got[number].duration_s == pytest.approx(alone[number], abs=0.05)
        assert "".join(word.text for word in got[number].words) == text


def test_sound_files_decode(tmp_path: Path) -> None:
    """MP3, M4A and WAV are what their names say, as long as the speech, and not silent; other names are refused."""
    said = speak("Hello there, this is sound.")
    for kind, codec in (("mp3", "mp3float"), ("m4a", "aac"), ("wav", "pcm_s16le")):
        target = tmp_path / f"a.{kind}"
        told = render_audio(target, said, format=kind)
        with av.open(str(target)) as container:
            assert container.streams.audio[0].codec_context.name == codec
            frames = list(container.decode(audio=0))
        length = sum(frame.samples for frame in frames) / frames[0].sample_rate
        assert length == pytest.approx(said.duration_s, abs=0.1)
        assert told.duration_s == pytest.approx(said.duration_s)
        assert told.size_bytes == target.stat().st_size > 1000
        assert _rms(load_speech(target)) == pytest.approx(_rms(said), rel=0.2)
    with pytest.raises(InvalidRequest, match="format"):
        render_audio(tmp_path / "a.ogg", said, format="ogg")


def test_sound_that_is_none_is_refused(tmp_path: Path) -> None:
    """A file without sound says so; an absent one is the usual error."""
    broken = tmp_path / "x.mp3"
    broken.write_bytes(b"this is no sound at all" * 20)
    with pytest.raises(InvalidRequest, match="speech"):
        load_speech(broken)
    with pytest.raises(FileNotFoundError):
        load_speech(tmp_path / "absent.mp3")


def test_voice_sample(tmp_path: Path) -> None:
    """The voice sample is WAV of exactly the length asked for, longer than its script included."""
    for seconds in (3.0, 30.0):
        told = sample_voice(tmp_path / "v.wav", seconds)
        with wave.open(str(tmp_path / "v.wav")) as file:
            assert file.getnframes() / file.getframerate() == pytest.approx(seconds, abs=0.01)
        assert told.duration_s == pytest.approx(seconds, abs=0.01)
    with pytest.raises(InvalidRequest, match="seconds"):
        sample_voice(tmp_path / "v.wav", 0)


def test_deep_install_paths_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data folder whose path would overflow espeak-ng's buffer is reached through a short link."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    link = _short_path(deep)
    assert len(str(link)) < len(str(deep))
    assert link.resolve() == deep.resolve()
    assert _short_path(deep) == link
    assert _short_path(Path("/x")) == Path("/x")
