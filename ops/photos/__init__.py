"""Real photographs for the demo and the tests: fetched once, cropped and encoded as uploads.

`photofeed photos` is about the stack's own and lives in ops/reprocess.py.
"""

from ops.photos.fetch import photographs
from ops.photos.uploads import UploadFile, make_uploads
from ops.reprocess import command

__all__ = ["UploadFile", "command", "make_uploads", "photographs"]
