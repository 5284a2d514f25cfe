"""Material goes up once and verbatim; results come down whole; no credential leaves for a foreign host."""

from __future__ import annotations

import hashlib
import io
from functools import partial
from typing import Any

import pytest
from house import House

from avatarkit.errors import InvalidRequest
from avatarkit.events import BytesMoved
from avatarkit.protocol.samples import Operation, wav
from avatarkit.sandbox.faults import DOWNLOAD

# -- up ------------------------------------------------------------------------------------------------------------


def _upload(house: House, client: Any, operation: Operation) -> Any:
    return house.method(client, operation.method)


def test_the_same_content_goes_up_once(house: House, uploading: Operation) -> None:
    """Bytes, a path and a file object with the same content are one upload and one file."""
    client = house.client()
    upload, content = _upload(house, client, uploading), wav(6.5)
    path = house.folder / "sound.wav"
    path.write_bytes(content)
    first = upload(content)
    assert [upload(media).id for media in (content, path, str(path), io.BytesIO(content))] == [first.id] * 4
    assert (first.sha256, first.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert house.box.seen.uploads == {first.sha256: 1}
    assert upload(wav(6.6)).id != first.id


def test_the_same_content_at_the_same_time_goes_up_once(house: House, uploading: Operation) -> None:
    """Ten calls at once share one upload."""
    client = house.client()
    upload, content = _upload(house, client, uploading), wav(6.5)
    files = house.side.together(*(partial(upload, content) for _ in range(10)))
    assert len({file.id for file in files}) == 1
    assert list(house.box.seen.uploads.values()) == [1]


def test_a_fresh_upload_can_be_asked_for(house: House, uploading: Operation) -> None:
    """``dedupe=False`` sends the content again."""
    client = house.client()
    upload, content = _upload(house, client, uploading), wav(6.5)
    assert upload(content).id != upload(content, dedupe=False).id
    assert list(house.box.seen.uploads.values()) == [2]


def test_an_upload_is_verbatim_and_without_credentials(house: House, uploading: Operation) -> None:
    """The store checks path encoding, content type and signature to the letter, and saw no Authorization header."""
    events: list[Any] = []
    told: list[tuple[int, int | None]] = []
    client = house.client(hooks=events.append)
    content = wav(6.5)
    _upload(house, client, uploading)(content, progress=lambda done, total: told.append((done, total)))
    assert house.box.seen.authorization == []
    assert house.box.seen.bytes_received == len(content)
    assert told[-1] == (len(content), len(content))
    moved = [event for event in events if isinstance(event, BytesMoved)]
    assert (moved[-1].direction, moved[-1].done, moved[-1].total) == ("up", len(content), len(content))


def test_an_uploaded_file_serves_several_tasks(house: House) -> None:
    """Two submissions with the same material upload it once."""
    client = house.client()
    rows = [o for o in house.samples.operations if o.uploads and o.yields]
    assert rows or not any(o.uploads for o in house.samples.operations)
    for operation in rows:
        before = sum(house.box.seen.uploads.values())
        first, second = house.call(client, operation), house.call(client, operation)
        assert first.id != second.id
        assert sum(house.box.seen.uploads.values()) - before <= operation.uploads


# -- down ----------------------------------------------------------------------------------------------------------


def _film(house: House, **options: Any) -> Any:
    return house.submit(house.client(**options)).wait()


def test_a_result_is_saved_and_read(house: House) -> None:
    """File and memory hold the same bytes; the report tells where and how much; nobody saw credentials."""
    events: list[Any] = []
    house.start(result_bytes=300_000)
    film = _film(house, hooks=events.append)
    target = house.folder / "new" / "film.mp4"
    told: list[tuple[int, int | None]] = []
    done = film.save(target, progress=lambda *count: told.append(count))
    content = target.read_bytes()
    assert film.read() == content
    assert (done.path, done.size, len(content)) == (target, 300_000, 300_000)
    assert told[-1] == (300_000, 300_000)
    assert [path.name for path in target.parent.iterdir()] == ["film.mp4"]
    assert house.box.seen.authorization == []
    assert any(isinstance(event, BytesMoved) and event.direction == "down" for event in events)


def test_a_folder_gets_a_file_named_after_the_task(house: House) -> None:
    """Saving to a folder makes a file of the marker's name, or the task's, and the right ending."""
    task = house.submit(house.client())
    done = task.wait().save(house.folder)
    assert done.path.parent == house.folder
    assert done.path.stem == (task.marker or task.id)
    assert done.path.suffix in (".mp4", ".mp3", ".wav")


def test_a_path_that_ends_like_a_folder_is_one(house: House) -> None:
    """``new/`` is made, and gets the file that it would get if it had been there; no path at all is a mistake."""
    film = _film(house)
    with pytest.raises(InvalidRequest, match="must be a path"):
        film.save("")
    done = film.save(f"{house.folder}/new/")
    assert done.path.parent == house.folder / "new"
    assert done.path.name == film.save(house.folder).path.name
    assert [path.name for path in house.folder.joinpath("new").iterdir()] == [done.path.name]


def test_the_current_folder_is_a_folder_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """``"."`` means what it means everywhere."""
    monkeypatch.chdir(house.folder)
    done = _film(house).save(".")
    assert [path.name for path in house.folder.iterdir()] == [done.path.name]


def test_a_file_is_not_overwritten_unasked(house: House) -> None:
    """An existing file is refused before a byte is fetched; ``overwrite=True`` replaces it."""
    film = _film(house)
    target = house.folder / "film.mp4"
    target.write_bytes(b"mine")
    with pytest.raises(InvalidRequest):
        film.save(target)
    assert target.read_bytes() == b"mine"
    assert house.box.seen.downloads == 0
    film.save(target, overwrite=True)
    assert target.stat().st_size == 4096


def test_an_expired_url_is_renewed_by_asking_the_task(house: House) -> None:
    """Long after the end, also through a token, saving asks the task for a fresh URL and gets the file."""
    house.start(url_lifetime=60)
    film = _film(house)
    old = film.url
    house.side.sleep(600)
    assert film.save(house.folder / "late.mp4").size == 4096
    assert film.url != old
    house.side.sleep(600)
    assert len(film.read()) == 4096
    renewed = film.renew()
    assert renewed == film


def test_a_url_that_comes_expired_is_renewed(house: House) -> None:
    """A first answer with a dead URL costs one more look."""
    task = house.submit(house.client())
    house.box.faults.add(house.look, "expired_url")
    film = task.wait()
    assert len(film.read()) == 4096
    assert house.box.seen.polls[task.id] == 2


def test_several_results_at_once(house: House) -> None:
    """Ten downloads side by side, each its own file."""
    client = house.client()
    arguments = house.arguments(client, house.submission)
    call = partial(house.method(client, house.submission.method), **arguments)
    tasks = house.side.together(*(call for _ in range(10)))
    films = house.side.together(*(partial(task.wait) for task in tasks))
    saved = house.side.together(
        *(partial(film.save, house.folder / f"{n}.mp4") for n, film in enumerate(films))
    )
    assert [done.size for done in saved] == [4096] * 10
    assert house.box.seen.downloads == 10
    assert house.box.faults.pending() == []
    assert DOWNLOAD == "GET /result"
