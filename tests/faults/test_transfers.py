"""Uploads and downloads over bad lines: they end whole, or say clearly that they did not."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
from house import House

from avatarkit.errors import DownloadFailed, LinkExpired, UploadFailed
from avatarkit.protocol.samples import Operation, wav
from avatarkit.sandbox.faults import DOWNLOAD, UPLOAD, Fault, FaultKind, answer
from avatarkit.settings import Timeouts

_XML = b"<Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>"
_FORBIDDEN = Fault(kind=FaultKind.ANSWER, accept=False, status=403, body=_XML, content_type="application/xml")


def _film(house: House, **options: Any) -> Any:
    house.start(result_bytes=200_000)
    return house.submit(house.client(**options)).wait()


def _parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "fault",
    [
        "cut",
        "reset_after",
        "close_after",
        "503_before",
        "502_html_before",
        "hang_after",
        "slow_first_byte",
        Fault(kind=FaultKind.CUT, size=0),
        Fault(kind=FaultKind.CUT, size=199_999),
        Fault(kind=FaultKind.DRIP, size=40_000, seconds=20),
    ],
    ids=str,
)
@pytest.mark.parametrize("times", [1, 3])
def test_a_bad_line_costs_time_not_the_file(house: House, fault: Any, times: int) -> None:
    """Cut, reset, silent or failing answers in a row: the file is whole in the end, and nothing is left beside it."""
    film = _film(house)
    expected = film.read()
    house.box.faults.add(DOWNLOAD, fault, times=times)
    done = film.save(house.folder / "film.mp4")
    assert (house.folder / "film.mp4").read_bytes() == expected
    assert done.size == 200_000
    assert _parts(house.folder) == ["film.mp4"]


def test_what_was_received_is_not_fetched_again(house: House) -> None:
    """Three cuts cost less than two files' worth of bytes."""
    film = _film(house)
    house.box.faults.add(DOWNLOAD, Fault(kind=FaultKind.CUT, size=60_000), times=3)
    film.save(house.folder / "film.mp4")
    assert house.box.seen.bytes_served < 400_000
    assert house.box.seen.downloads == 4


def test_a_server_without_ranges_starts_again(house: House) -> None:
    """A whole file in answer to a Range is taken from its beginning."""
    film = _film(house)
    expected = film.read()
    house.box.faults.add(DOWNLOAD, "cut")
    house.box.faults.add(DOWNLOAD, "ignore_range")
    film.save(house.folder / "film.mp4")
    assert (house.folder / "film.mp4").read_bytes() == expected


def test_no_length_is_no_obstacle(house: House) -> None:
    """A result without Content-Length is read to its end."""
    film = _film(house)
    house.box.faults.add(DOWNLOAD, "no_length")
    assert film.save(house.folder / "film.mp4").size == 200_000


def test_a_line_that_stays_bad_keeps_what_came(house: House) -> None:
    """After its tries the download fails, the part file stays, and a later call goes on from there."""
    film = _film(house)
    house.box.faults.add(DOWNLOAD, Fault(kind=FaultKind.CUT, size=1000), times=5)
    house.box.faults.add(DOWNLOAD, "reset_after", times=40)
    with pytest.raises(DownloadFailed):
        film.save(house.folder / "film.mp4")
    assert not (house.folder / "film.mp4").exists()
    assert any(name.endswith(".part") for name in _parts(house.folder))
    house.box.faults.clear()
    served = house.box.seen.bytes_served
    assert film.save(house.folder / "film.mp4").size == 200_000
    assert house.box.seen.bytes_served - served < 200_000
    assert _parts(house.folder) == ["film.mp4"]


@pytest.mark.parametrize("fault", ["reset_after", "hang_after", "cut", "redirect", "503_before"])
def test_a_failed_download_tells_no_secret(house: House, fault: str) -> None:
    """Whatever kept the film away: neither the error nor its causes show the signed URL."""
    film = _film(house, timeouts=Timeouts(read=5))
    house.box.faults.add(DOWNLOAD, Fault(kind=FaultKind.CUT, size=0) if fault == "cut" else fault, times=100)
    with pytest.raises(DownloadFailed) as caught:
        film.read()
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert "Signature" not in shown
    assert house.box.token not in shown


def test_a_store_that_is_away_for_a_while(house: House) -> None:
    """Refused connections are tried again."""
    film = _film(house)
    house.box.refuse(1.5, origin="files")
    assert film.save(house.folder / "film.mp4").size == 200_000


@pytest.mark.parametrize("fault", [_FORBIDDEN, answer(404), answer(410), answer(200, html=True)], ids=str)
def test_a_refused_url_is_renewed(house: House, fault: Fault) -> None:
    """403, 404, 410 or a page in place of the film: the task is asked for a fresh URL."""
    film = _film(house)
    looks = house.box.seen.polls[film.task_id]
    house.box.faults.add(DOWNLOAD, fault)
    assert film.save(house.folder / "film.mp4").size == 200_000
    assert house.box.seen.polls[film.task_id] == looks + 1


def test_a_url_that_stays_refused_is_a_dead_link(house: House) -> None:
    """When the fresh URL is refused as well, LinkExpired says so, without the URL in it."""
    film = _film(house)
    house.box.faults.add(DOWNLOAD, _FORBIDDEN, times=40)
    with pytest.raises(LinkExpired) as caught:
        film.save(house.folder / "film.mp4")
    assert "Signature" not in "".join(traceback.format_exception(caught.value))
    assert _parts(house.folder) == []


def test_a_result_larger_than_allowed_is_refused(house: House) -> None:
    """``max_bytes`` bounds file and memory."""
    film = _film(house)
    with pytest.raises(DownloadFailed):
        film.save(house.folder / "film.mp4", max_bytes=199_999)
    with pytest.raises(DownloadFailed):
        film.read(max_bytes=199_999)
    assert _parts(house.folder) == []


# -- up ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [_FORBIDDEN, "reset_before", "503_before", "hang_before", "reset_after", "close_after"], ids=str
)
def test_a_failed_upload_is_tried_again_at_a_fresh_address(
    house: House, uploading: Operation, fault: Any
) -> None:
    """A refused or silent PUT is tried at a new address; a lost connection may be made up for at the same one."""
    client = house.client(timeouts=Timeouts(read=10))
    house.box.faults.add(UPLOAD, fault, times=2)
    content = wav(6.5)
    house.method(client, uploading.method)(content)
    lost = isinstance(fault, str) and fault.startswith(("reset", "close"))
    assert house.box.seen.requests[house.endpoint(uploading)] in ((2, 3) if lost else (3,))
    assert len(house.box.seen.uploads) == 1
    assert house.box.seen.authorization == []


def test_an_upload_that_keeps_failing_is_a_clear_error(house: House, uploading: Operation) -> None:
    """After three tries UploadFailed; the next call starts afresh."""
    client = house.client()
    house.box.faults.add(UPLOAD, _FORBIDDEN, times=3)
    with pytest.raises(UploadFailed) as caught:
        house.method(client, uploading.method)(wav(6.5))
    assert "Signature" not in "".join(traceback.format_exception(caught.value))
    assert house.box.seen.requests[house.endpoint(uploading)] == 3
    assert house.method(client, uploading.method)(wav(6.5)).id


def test_addresses_that_are_expired_when_they_come(house: House, uploading: Operation) -> None:
    """A store that refuses each address as expired ends in UploadFailed, not in a loop."""
    client = house.client()
    house.side.original(house.box)._world.url_lifetime = -5.0
    with pytest.raises(UploadFailed):
        house.method(client, uploading.method)(wav(6.5))
    assert house.box.seen.requests[house.endpoint(uploading)] == 3


def test_a_failed_upload_submits_nothing(house: House) -> None:
    """Material that did not arrive costs no task."""
    client = house.client()
    house.box.faults.add(UPLOAD, _FORBIDDEN, times=1000)
    for operation in house.samples.operations:
        if operation.uploads and operation.yields:
            arguments = house.arguments(client, operation)
            with pytest.raises(UploadFailed):
                house.method(client, operation.method)(**arguments)
    assert house.created() == 0
