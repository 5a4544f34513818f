"""Bodies that are files: into a temporary file that vanishes with its last user, never whole into memory."""

import asyncio
import tempfile
from typing import BinaryIO, cast

from fastapi import Request

IN_MEMORY_BYTES = 4 * 1024**2


async def received(request: Request) -> BinaryIO:
    """The body from its beginning; small ones stay in memory. The route bounds it, the caller closes it."""
    file = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES))  # noqa: SIM115  # The caller closes it.
    try:
        async for chunk in request.stream():
            await asyncio.to_thread(file.write, chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
