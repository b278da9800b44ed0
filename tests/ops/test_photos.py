"""The sample uploads are real, different and repeatable, and a full cache needs no network."""

import io
import subprocess

import pillow_heif
import pytest
from PIL import Image

from ops.errors import Refused
from ops.photos import UploadFile, fetch, make_uploads, photographs

pillow_heif.register_heif_opener()


@pytest.fixture(scope="module")
def uploads() -> list[UploadFile]:
    return make_uploads(24, 7)


def test_two_dozen_uploads_differ_and_cover_the_formats(uploads: list[UploadFile]) -> None:
    assert len({upload.data for upload in uploads}) == 24
    assert {upload.content_type for upload in uploads} == {"image/jpeg", "image/png", "image/heic"}
    assert len({upload.alt_text for upload in uploads}) >= 8
    for upload in uploads:
        with Image.open(io.BytesIO(upload.data)) as image:
            assert Image.MIME[image.format or ""].replace("heif", "heic") == upload.content_type
        assert upload.tags
        assert upload.caption


def test_some_uploads_tell_a_place_and_lie_on_their_side(uploads: list[UploadFile]) -> None:
    exifs = [
        Image.open(io.BytesIO(upload.data)).getexif()
        for upload in uploads
        if upload.content_type == "image/jpeg"
    ]
    assert any(exif.get_ifd(0x8825) for exif in exifs)
    assert {exif.get(0x0112) for exif in exifs} - {1, None}


def test_the_seed_decides_what_is_uploaded() -> None:
    assert make_uploads(3, 1) == make_uploads(3, 1)
    assert make_uploads(3, 1) != make_uploads(3, 2)


def test_a_full_cache_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    photographs()

    def refuse(*_: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(fetch, "download", refuse)
    assert len(photographs()) >= 8


def test_a_failed_download_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "noise\nERROR: no route to the index\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    cache = tmp_path_factory.mktemp("cache")
    with pytest.raises(Refused, match=r"^photos.lock can't .*no route to the index$"):
        photographs(cache / "photos")
    assert list(cache.iterdir()) == []
