"""scripts/load_serve.py: a server that fails ends the measurement."""

import http.server
import importlib.util
import pathlib
import threading

import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / "scripts" / "load_serve.py"


class Failing(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_error(500)

    def log_message(self, *words):
        pass


def test_a_server_that_fails_gives_an_error_instead_of_a_rate():
    spec = importlib.util.spec_from_file_location("load_serve", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Failing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(SystemExit, match="500: "):
            script.measure(server.server_port, b"video", 2, 0.2)
        server.shutdown()
