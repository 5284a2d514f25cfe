"""Its operations as data, for the suites that loop over all providers."""

from __future__ import annotations

from avatarkit.protocol.samples import Operation, Samples
from fifth_vendor.endpoints import CREATE, LOOK

_URLS = {"image": "https://media.example.com/face.png", "audio": "https://media.example.com/speech.mp3"}

SAMPLES = Samples(
    operations=(
        Operation(
            method="videos.create", endpoint=CREATE, arguments=_URLS, sends=_URLS, yields="video", task="task"
        ),
    ),
    submission="videos.create",
    look=LOOK,
    marked=False,
    timed=False,
)
