"""The firmware configuration in a real nginx: it serves what the role allows, in ranges, and nothing else."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from ringfence.apps.acs.firmware import FirmwareHost, start
from ringfence.fleet.catalogue.adapters import ImageStore
from ringfence.fleet.image_urls import ImageGrant, sign
from ringfence.runtime.http import open_listener
from tests.harness.engines import free_port

CONFIGURATION = Path(__file__).resolve().parents[2] / "deploy/nginx/firmware.conf"
KEY = b"k" * 32
IMAGE = bytes(range(256)) * 400
FRAME = """daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; {rules} }}
}}
"""


async def _ask(port: int, path: str, *headers: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join((f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "\r\n")).encode())
    raw = await reader.read(-1)
    writer.close()
    return int(raw.split(b" ")[1]), raw.partition(b"\r\n\r\n")[2]


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


@pytest.mark.peer("nginx")
def test_nginx_serves_what_the_role_allows(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(IMAGE)
    store = ImageStore(tmp_path / "images")
    digest, size = store.import_image(source)
    for folder in (tmp_path, tmp_path / "images"):
        folder.chmod(0o755)

    async def main() -> None:
        server = await start(FirmwareHost(store, KEY), open_listener("127.0.0.1:0", name="firmware"))
        host, port = server.sockets[0].getsockname()[1], free_port()
        rules = CONFIGURATION.read_text("utf-8").replace("127.0.0.1:7549", f"127.0.0.1:{host}")
        rules = rules.replace("/var/lib/ringfence/images", str(tmp_path / "images"))
        file = tmp_path / "nginx.conf"
        file.write_text(FRAME.format(folder=tmp_path, port=port, rules=rules), "utf-8")
        nginx = subprocess.Popen(["nginx", "-c", str(file), "-p", str(tmp_path)])
        try:
            await _until_it_listens(port)
            good = sign(KEY, ImageGrant(digest=digest, device_id=7, size=size, expires_s=4_000_000_000))
            old = sign(KEY, ImageGrant(digest=digest, device_id=7, size=size, expires_s=1))
            assert await _ask(port, good) == (200, IMAGE)
            assert await _ask(port, good, "Range: bytes=100-199") == (206, IMAGE[100:200])
            assert (await _ask(port, old))[0] == 403
            assert (await _ask(port, good.replace("/7/", "/8/")))[0] == 403
            assert (await _ask(port, "/firmware-check"))[0] == 404
            assert (await _ask(port, f"/firmware/{digest}"))[0] == 404
            assert (await _ask(port, "/firmware/../source"))[0] in {400, 404}
        finally:
            nginx.terminate()
            nginx.wait(20)
            server.close()

    asyncio.run(main())
