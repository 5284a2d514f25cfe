"""Text to speech with espeak-ng, through ctypes: offline, and a thousand times faster than real time."""

from __future__ import annotations

import ctypes
import hashlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import espeakng_loader
import numpy as np

from avatarkit.errors import ConfigurationError
from avatarkit.studio.models import Speech, Timbre, Word

if TYPE_CHECKING:
    from avatarkit.studio.models import Samples

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples are handed to the callback inside espeak_Synth
_DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: return an error instead of ending the process
_UTF8_AND_ENDPAUSE = 0x1 | 0x1000
_RATE, _PITCH = 1, 3
_LIST_TERMINATED, _WORD = 0, 1
_WORDS_A_MINUTE = 175
_LONGEST_DATA_PATH = 140  # espeak-ng keeps the path in a buffer of 160 bytes
_SILENCE_S = 0.5
_KEPT_TAIL_S = 0.15

_CJK = (("\u2e80", "\u2fdf"), ("\u3400", "\u9fff"), ("\uf900", "\ufaff"), ("\U00020000", "\U0003ffff"))
_KANA = (("\u3040", "\u30ff"), ("\u31f0", "\u31ff"))
_HANGUL = (("\uac00", "\ud7af"), ("\u1100", "\u11ff"))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # counted in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Engine:
    """The one espeak-ng of this process. It keeps global state, so every use holds the lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._library: ctypes.CDLL | None = None
        self._sample_rate = 22050
        self._sound = bytearray()
        self._marks: list[tuple[int, int]] = []
        # ctypes does not keep a callback alive; this reference does.
        self._callback = _CALLBACK(self._receive)

    def say(
        self, text: str, voice: str, *, rate: float, pitch: float
    ) -> tuple[Samples, list[tuple[int, int]], int]:
        """Samples, (character offset, milliseconds) of each word, and the sample rate."""
        encoded = text.encode("utf-8", "replace") + b"\0"
        with self._lock:
            library = self._loaded()
            self._sound.clear()
            self._marks.clear()
            self._choose(library, voice)
            library.espeak_SetParameter(_RATE, max(80, min(450, round(_WORDS_A_MINUTE * rate))), 0)
            library.espeak_SetParameter(_PITCH, max(0, min(99, round(50 * pitch))), 0)
            library.espeak_Synth(encoded, len(encoded), 0, 1, 0, _UTF8_AND_ENDPAUSE, None, None)
            samples = np.frombuffer(bytes(self._sound), dtype=np.int16)
            self._sound = bytearray()
            return samples, list(self._marks), self._sample_rate

    def _receive(
        self, wave: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]
    ) -> int:
        if wave and count > 0:
            self._sound += ctypes.string_at(wave, count * 2)
        index = 0
        while events[index].type != _LIST_TERMINATED:
            if events[index].type == _WORD:
                self._marks.append((events[index].text_position - 1, events[index].audio_position))
            index += 1
        return 0

    def _choose(self, library: ctypes.CDLL, voice: str) -> None:
        base, _, variant = voice.partition("+")
        for name in dict.fromkeys((voice, base, f"{base.split('-')[0]}+{variant}".rstrip("+"), "en-us")):
            if library.espeak_SetVoiceByName(name.encode("ascii", "replace")) == 0:
                return

    def _loaded(self) -> ctypes.CDLL:
        if self._library is None:
            library = ctypes.CDLL(espeakng_loader.get_library_path())
            data = _short_path(Path(espeakng_loader.get_data_path()))
            rate = library.espeak_Initialize(_SYNCHRONOUS, 200, str(data).encode(), _DONT_EXIT)
            if rate <= 0:
                raise ConfigurationError(
                    "espeak-ng did not start: its data was not found",
                    hint="reinstall espeakng-loader: pip install --force-reinstall espeakng-loader",
                )
            library.espeak_SetSynthCallback(self._callback)
            self._library, self._sample_rate = library, rate
        return self._library


def _short_path(data: Path) -> Path:
    """*data*, or a link to it where its path is too long for espeak-ng (deep virtualenvs)."""
    if len(str(data).encode()) <= _LONGEST_DATA_PATH:
        return data
    mark = hashlib.sha256(str(data).encode()).hexdigest()[:12]
    link = Path(tempfile.gettempdir()) / f"avatarkit-espeak-{mark}"
    try:
        link.symlink_to(data, target_is_directory=True)
    except FileExistsError:
        pass
    except OSError:
        return data
    return link if link.exists() else data


_ENGINE = _Engine()


def speak(
    text: str,
    *,
    language: str | None = None,
    rate: float = 1.0,
    volume: float = 1.0,
    pitch: float = 1.0,
    timbre: Timbre | None = None,
) -> Speech:
    """Speak *text*: 22,050 Hz, 16 bit, mono, with the time of every word.

    *language* is a tag such as ``en-us``, ``zh`` or ``de``; ``None`` guesses per script, and Chinese inside
    English (and the other way round) is spoken by the right voice in any case. *rate* is a factor, held to
    what espeak-ng can do (about 0.46 to 2.57); *pitch* goes from 0 to 2; *volume* multiplies the samples
    (clipped, not wrapped). *timbre* gives a cloned voice its own sound. Text with nothing to say gives half a
    second of silence. Two calls with the same text may differ by a few samples.

    Safe from any thread; calls take turns, because espeak-ng keeps its state per process. Memory is about 44
    kB for each second of sound. Raises :class:`~avatarkit.errors.ConfigurationError` if espeak-ng cannot
    find its data.
    """
    variant = f"+{timbre.variant}" if timbre and timbre.variant else ""
    rate, pitch = (rate * timbre.rate, pitch * timbre.pitch) if timbre else (rate, pitch)
    pieces: list[Samples] = []
    words: list[Word] = []
    begin, sample_rate = 0, 22050
    # Control characters are commands to espeak-ng, or end its input.
    clean = "".join(" " if ord(c) < 32 or "\ud800" <= c <= "\udfff" else c for c in text)
    for voice, run in _runs(clean, language):
        samples, marks, sample_rate = _ENGINE.say(run, voice + variant, rate=rate, pitch=pitch)
        samples = _without_tail(samples, sample_rate)
        words += _words(run, marks, begin / sample_rate, len(samples) / sample_rate)
        pieces.append(samples)
        begin += len(samples)
    sound = np.concatenate(pieces) if begin else np.zeros(int(_SILENCE_S * sample_rate), dtype=np.int16)
    if volume != 1.0:
        sound = np.clip(sound * max(0.0, volume), -32768, 32767).astype(np.int16)
    return Speech(samples=sound, sample_rate=sample_rate, words=tuple(words))


def _words(run: str, marks: list[tuple[int, int]], offset_s: float, length_s: float) -> Iterator[Word]:
    """The words of one run; each reaches to the next one's start and keeps the punctuation between them."""
    starts: list[tuple[int, int]] = []
    for position, milliseconds in marks:
        # A number is announced once for each word it is read as; that is still one word of the text.
        inside = (
            bool(starts)
            and not run[position - 1 : position].isspace()
            and not _is_cjk(run[position : position + 1])
        )
        if not starts or (position > starts[-1][0] and not inside):
            starts.append((position, milliseconds))
    for number, (position, milliseconds) in enumerate(starts):
        last = number + 1 == len(starts)
        after, until = (len(run), length_s) if last else (starts[number + 1][0], starts[number + 1][1] / 1000)
        text = run[0 if number == 0 else position : after]
        start = min(milliseconds / 1000, length_s)
        if text.strip():
            yield Word(text, offset_s + start, offset_s + max(start, min(until, length_s)))


def _without_tail(samples: Samples, sample_rate: int) -> Samples:
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 150)
    end = (int(loud[-1]) + 1 if len(loud) else 0) + int(_KEPT_TAIL_S * sample_rate)
    return samples[:end] if len(loud) else samples[:0]


def _is_cjk(character: str) -> bool:
    return _within(character, _CJK)


def _within(character: str, ranges: tuple[tuple[str, str], ...]) -> bool:
    return any(low <= character <= high for low, high in ranges)


def _voice_for(language: str) -> str:
    tag = language.strip().lower().replace("_", "-")
    if tag in {"mandarin", "chinese"} or tag.split("-")[0] in {"zh", "cmn", "cn"}:
        return "cmn"
    return {"en": "en-us", "english": "en-us"}.get(tag, tag) or "en-us"


def _runs(text: str, language: str | None) -> list[tuple[str, str]]:
    """*text* cut where the script changes, each with its voice. Digits and marks stay with what precedes."""
    asked = _voice_for(language) if language else None
    if asked is None and any(_within(c, _KANA) for c in text):
        asked = "ja"
    if asked and asked.split("-")[0] in {"ja", "ko", "yue"}:
        return [(asked, text)] if text.strip() else []
    latin = asked if asked and asked != "cmn" else "en-us"
    runs: list[tuple[str, str]] = []
    voice, start = None, 0
    for index, character in enumerate(text):
        if not character.isalpha():
            continue
        here = "cmn" if _is_cjk(character) else "ko" if _within(character, _HANGUL) else latin
        if voice is not None and here != voice:
            runs.append((voice, text[start:index]))
            start = index
        voice = here
    if text[start:].strip():
        runs.append((voice or asked or "en-us", text[start:]))
    return runs
