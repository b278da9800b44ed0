"""Real photographs for the demo and the tests: fetched once, cropped and encoded as uploads."""

from ops.photos.fetch import photographs
from ops.photos.uploads import UploadFile, make_uploads

__all__ = ["UploadFile", "make_uploads", "photographs"]
