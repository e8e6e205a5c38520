"""A server that sends an MPEG-TS in real time over a local socket, as raw TCP, HTTP or RTSP."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

import av


def schedule(path):
    """Split the file into pieces, (seconds from the start, bytes) of each frame."""
    with open(path, "rb") as file:
        content = file.read()
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        begin = min(packet.dts for packet in packets)
        times = [float((packet.dts - begin) * packet.time_base) for packet in packets]
        places = [packet.pos for packet in packets]
    places[0] = 0
    ends = [*places[1:], len(content)]
    return [(at, content[place:end]) for at, place, end in zip(times, places, ends, strict=True)]


class LiveServer(contextlib.AbstractContextManager):
    """Sends the pieces to any client that connects, each at its time.

    Attributes:
      address: of the stream.
      began: `time.time()` at which sending began.
    """

    def __init__(self, pieces, kind="tcp", *, head=b"", stay_silent=0.0):
        """`head` replaces the HTTP response head; the connection stays open for `stay_silent` seconds at the end."""
        self._pieces, self._kind, self._silent = pieces, kind, stay_silent
        self._head = head or b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.address = f"{kind}://127.0.0.1:{self.port}" + ("" if kind == "tcp" else "/stream")
        self.began, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._listening.close()
        self._thread.join(5)

    def _serve(self):
        with contextlib.suppress(OSError):
            connection, _ = self._listening.accept()
            with connection:
                send = {"tcp": self._raw, "http": self._http, "rtsp": self._rtsp}[self._kind](connection)
                self.began, begun = time.time(), time.monotonic()
                for at, piece in self._pieces:
                    if self._over.wait(max(0.0, at - (time.monotonic() - begun))):
                        return
                    send(piece)
                self._over.wait(self._silent)

    def _raw(self, connection):
        return connection.sendall

    def _http(self, connection):
        connection.recv(4096)
        connection.sendall(self._head)
        return connection.sendall

    def _rtsp(self, connection):
        """RFC 2326 with RTP over the same connection (section 10.12); MPEG-TS is payload type 33 of RFC 3551."""
        sdp = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track1\r\n"
        answers = {
            b"OPTIONS": b"Public: OPTIONS, DESCRIBE, SETUP, PLAY\r\n\r\n",
            b"DESCRIBE": b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(sdp) + sdp,
            b"SETUP": b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n\r\n",
            b"PLAY": b"Session: 1\r\n\r\n",
        }
        method = b""
        while method != b"PLAY":
            request = connection.recv(4096)
            method = request.split(b" ")[0]
            number = request.split(b"CSeq: ")[1].split(b"\r\n")[0]
            connection.sendall(b"RTSP/1.0 200 OK\r\nCSeq: " + number + b"\r\n" + answers[method])
        sent = 0

        def send(piece):
            nonlocal sent
            for start in range(0, len(piece), 7 * 188):
                part = piece[start : start + 7 * 188]
                header = struct.pack(">BBHII", 0x80, 33, sent & 0xFFFF, sent * 900, 1)
                connection.sendall(struct.pack(">cBH", b"$", 0, len(header) + len(part)) + header + part)
                sent += 1

        return send
