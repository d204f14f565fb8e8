"""What listens in the tests: a small HTTP server that keeps the bodies that are posted to it."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Sink:
    """Answers 200, or first with the statuses that it is given."""

    def __init__(self, *statuses):
        self.bodies, self.headers, self.paths = [], [], []
        self._statuses, self._lock = list(statuses), threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with sink._lock:
                    sink.bodies.append(body)
                    sink.headers.append(dict(self.headers))
                    sink.paths.append(self.path)
                    status = sink._statuses.pop(0) if sink._statuses else 200
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
