"""A hub on this machine that speaks Hugging Face's protocol, as well or as badly as a test tells it to."""
import collections
import contextlib
import hashlib
import http.server
import json
import re
import ssl
import struct
import socket
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Seen = collections.namedtuple("Seen", "path headers")


class Hub:
    """Serves repositories, {"owner/repo": {"path": bytes}}. What requests get otherwise is set in attributes:
    listing(repo) -> list, refs(repo) -> dict, and faults: called with the handler before a file is sent, True if they
    have answered."""

    def __init__(self, files, certificate=None, storage=None):
        self.files = files
        self.storage = storage  # another Hub that files are redirected to
        self.faults = []
        self.seen = []
        self.page = None  # files on a page of the listing
        self.lock = threading.Lock()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with hub.lock:
                    hub.seen.append(Seen(self.path, {k.lower(): v for k, v in self.headers.items()}))
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    hub.answer(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.scheme = "https"
        self.url = f"{self.scheme}://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- answers ----

    def refs(self, _repo):
        return {"branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}], "tags": []}

    def listing(self, repo):
        entries = [{"type": "directory", "path": "folder", "oid": "0" * 40, "size": 0}]
        for path, content in self.files[repo].items():
            entry = {"type": "file", "path": path, "size": len(content),
                     "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
            if not path.endswith((".json", ".txt")):  # as large files are kept
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 135}
            entries.append(entry)
        return entries

    def answer(self, handler):
        path = handler.path
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(refs|tree/[0-9a-f]+\?recursive=true(&cursor=(\d+))?)", path):
            if match[1] not in self.files:
                return self.status(handler, 401, {"X-Error-Message": "Invalid username or password."})
            if match[2] == "refs":
                return self.json(handler, self.refs(match[1]))
            listing, headers = self.listing(match[1]), {}
            if self.page:
                begin = int(match[4] or 0)
                if begin + self.page < len(listing):
                    url = f"{self.url}/api/models/{match[1]}/tree/{COMMIT}?recursive=true&cursor={begin + self.page}"
                    headers["Link"] = f'<{url}>; rel="next"'
                listing = listing[begin:begin + self.page]
            return self.json(handler, listing, headers)
        if any(fault(handler) for fault in list(self.faults)):
            return None
        if match := re.fullmatch(rf"/([^/]+/[^/]+)/resolve/{COMMIT}/(.+)", path):
            name = re.sub("%20", " ", match[2])
            if name not in self.files.get(match[1], {}):
                return self.status(handler, 404)
            if self.storage:
                return self.redirect(handler, f"{self.storage.url}/blob/{match[1]}/{match[2]}?signed=1")
            return self.send(handler, self.files[match[1]][name])
        if match := re.fullmatch(r"/blob/([^/]+/[^/]+)/(.+)\?signed=1", path):
            return self.send(handler, self.files[match[1]][match[2]])
        return self.status(handler, 404)

    def status(self, handler, status, headers=None):
        handler.send_response(status)
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        return True

    def redirect(self, handler, url, status=302):
        return self.status(handler, status, {"Location": url})

    def json(self, handler, value, headers=None):
        self.body(handler, json.dumps(value).encode(), headers)

    def body(self, handler, body, headers=None, status=200):
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        return True

    def send(self, handler, content, cut=None):
        """The content, or what is asked for of it, or only `cut` bytes of that before the connection breaks."""
        begin, status, headers = 0, 200, {"Accept-Ranges": "bytes"}
        if match := re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", "")):
            begin, status = int(match[1]), 206
            if begin >= len(content):
                return self.status(handler, 416, {"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        rest = content[begin:]
        if cut is None or cut >= len(rest):
            return self.body(handler, rest, headers, status)
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(rest)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(rest[:cut])
        self.reset(handler)
        return True

    @staticmethod
    def reset(handler):
        """Closes the connection; half of the time as a crash does."""
        handler.wfile.flush()
        handler.close_connection = True
        if id(handler) % 32 < 16:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
