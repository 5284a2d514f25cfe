"""What the tests of webhooks share."""

from typing import Any


async def ids(client: Any) -> dict[str, str]:
    """Ids of an avatar and a voice of the vendor's stock."""
    avatar = (await client.avatars.list(size=1)).items[0].id
    voice = (await client.voices.list(size=1, kind=2)).items[0].id
    return {"avatar": avatar, "voice": voice}
