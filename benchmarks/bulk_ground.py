"""What the parts of the program ``bulk`` share: requests for a provider, and a process's memory."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from typing import Any

from avatarkit import AsyncSandbox, VideoRequest

IMAGE, SOUND = "https://media.example.com/face.png", "https://media.example.com/{}.mp3"


def memory() -> float:
    """The most this process had in memory, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def keys(box: AsyncSandbox, provider: str) -> tuple[str, ...]:
    return (box.token, box.secret) if provider == "guiji" else (box.token,)


async def presenter(client: Any, provider: str) -> dict[str, str]:
    if provider == "kling":
        return {"image": IMAGE}
    if provider == "guiji":
        avatars, voices = await client.avatars.list_public(), await client.voices.list_public()
        return {"avatar": avatars.items[0].id, "voice": voices.items[0].id}
    avatar = await (await client.avatars.create_by_image(IMAGE)).wait()
    voice = await (await client.voices.create(SOUND.format("voice"), title="voice")).wait()
    return {"avatar": avatar.id, "voice": voice.id}


def requests(base: Mapping[str, str], jobs: int) -> Iterator[VideoRequest]:
    for number in range(jobs):
        if "image" in base:
            yield VideoRequest(**base, audio=SOUND.format(number))  # type: ignore[arg-type]
        else:
            yield VideoRequest(**base, text=f"This is sentence number {number}.")  # type: ignore[arg-type]
