"""The service of another team: `GET /scores/{user}` answers with a score, as slowly as it is told to."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Scores:
    """The service, on a free port of this machine while the context is entered."""

    def __init__(self) -> None:
        self.score = 0.0
        self.delay = 0.0
        self.asked = 0
        scores = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                scores.asked += 1
                time.sleep(scores.delay)
                body = json.dumps({"score": scores.score}).encode()
                try:
                    self.send_response(200)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    # Who asked did not wait.
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Says nothing on the terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Scores":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
