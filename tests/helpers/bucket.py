"""An emulated Google Cloud Storage bucket in a separate process, for this process and its children.

`python bucket.py PORT` serves one, with its objects in memory.
"""

import contextlib
import http
import os
import pathlib
import socket
import socketserver
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from unittest import mock

from vidjax.files import Place, located

NAME = "vidjax-test"
LEADS = ("STORAGE_EMULATOR_HOST", "TENSORSTORE_GCS_HTTP_URL", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT")


def disk_or_bucket(kind: str, folder: pathlib.Path) -> Iterator[Place]:
    """A place for runs, for use in a fixture: a folder on disk, or in a new bucket."""
    if kind == "disk":
        yield folder
        return
    with emulated() as address:
        yield located(address) / "runs"


@contextlib.contextmanager
def emulated() -> Iterator[str]:
    """The address of an empty bucket, `gs://...`; environment variables point gcsfs and TensorStore to it."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, __file__, str(port)], stderr=subprocess.DEVNULL)
    url = f"http://localhost:{port}"
    # Without the last one, gcsfs asks the real store what kind of bucket this is.
    leads = dict(zip(LEADS, (url, url, "false"), strict=True))
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
                break
            time.sleep(0.1)
        with mock.patch.dict(os.environ, leads):
            import gcsfs

            gcsfs.GCSFileSystem.clear_instance_cache()  # an earlier instance uses another address
            yield f"gs://{NAME}"
            gcsfs.GCSFileSystem.clear_instance_cache()
    finally:
        server.kill()
        server.wait()


def objects(address: str) -> dict[str, bytes]:
    """The content of every object below an address, by relative path."""
    import fsspec

    system, root = fsspec.core.url_to_fs(address)
    system.invalidate_cache()
    return {path.removeprefix(f"{root}/"): system.cat_file(path) for path in system.find(root)}


def write(address: str, content: bytes) -> None:
    """Replace an object."""
    name = urllib.parse.quote(address.removeprefix(f"gs://{NAME}/"), safe="")
    upload = f"{os.environ['STORAGE_EMULATOR_HOST']}/upload/storage/v1/b/{NAME}/o?uploadType=media&name={name}"
    urllib.request.urlopen(urllib.request.Request(upload, content, method="POST")).close()


def serve(port: int) -> None:
    """Serve the bucket, with the parts of the real store that the emulator lacks and TensorStore's database relies on.

    These are conditional writes (`ifGenerationMatch`: only if the object has not changed since it was read), the
    generation along with an object's content, and moves. Requests are handled one at a time.
    """
    from gcp_storage_emulator import server as emulator
    from gcp_storage_emulator.exceptions import NotFound
    from gcp_storage_emulator.handlers import objects as handlers_of_objects
    from gcp_storage_emulator.storage import Storage

    asked: list[emulator.Request] = []
    create_file, get_file_obj = Storage.create_file, Storage.get_file_obj

    class NotTheSame(Exception):
        pass

    def generation(storage, bucket, name):
        try:
            return get_file_obj(storage, bucket, name)["generation"]
        except NotFound:
            return "0"

    def create_if(storage, bucket, name, *rest):
        wanted = asked[-1].query.get("ifGenerationMatch")
        if wanted and wanted[0] != generation(storage, bucket, name):
            raise NotTheSame
        return create_file(storage, bucket, name, *rest)

    def handled(original):
        def handler(request, response, storage):
            asked[:] = [request]
            try:
                original(request, response, storage)
            except NotTheSame:
                response.status = http.HTTPStatus.PRECONDITION_FAILED
                return
            named = request.params or {}
            if request.method == "GET" and response.status.value in (200, 206) and "object_id" in named:
                response["x-goog-generation"] = generation(storage, named["bucket_name"], named["object_id"])

        return handler

    def move(request, response, storage):
        source = request.params["bucket_name"], request.params["object_id"]
        target = source[0], request.params["new_id"]
        try:
            response.json(handlers_of_objects._copy(request.base_url, storage, *source, *target))
            storage.delete_file(*source)
        except NotFound:  # a folder to gcsfs
            response.status = http.HTTPStatus.NOT_FOUND

    socketserver.TCPServer.request_queue_size = 256  # waiting connections; by default, more than 5 are dropped
    Storage.create_file = create_if
    Storage._write_config_to_file = lambda storage: None  # after every write it would serialise all objects' metadata
    moving = r"^/storage/v1/b/(?P<bucket_name>[-.\w]+)/o/(?P<object_id>.+)/moveTo/o/(?P<new_id>.+)$"
    emulator.HANDLERS = ((moving, {"POST": move}), *emulator.HANDLERS)
    for _, handlers in emulator.HANDLERS:
        handlers.update({method: handled(original) for method, original in handlers.items()})
    emulator.create_server("localhost", port, in_memory=True, default_bucket=NAME).run()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
