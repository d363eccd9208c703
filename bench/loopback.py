"""What the benchmarks of this folder share: servers on 127.0.0.1, Lambda's Runtime API among them, and a certificate."""
import http.server
import json
import os
import pathlib
import queue
import ssl
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "bench"
BINARIES = ROOT / "target" / "release"


class Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Without it every answer would wait for the acknowledgement of its own head.
    wbufsize = 65536
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, kind, body, headers=()):
        self.send_response(status)
        for name, value in [("Content-Type", kind), ("Content-Length", str(len(body))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class RuntimeApi(Answering):
    """Lambda's side: hands out events, and notes when they were asked for and answered."""

    events = queue.Queue()
    noted = queue.Queue()

    def do_GET(self):
        RuntimeApi.noted.put(("next", time.perf_counter(), None))
        event = RuntimeApi.events.get()
        if event is None:
            self.close_connection = True
            return
        headers = [
            ("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
            ("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 50_000)),
            ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:000000000000:function:coalmine"),
        ]
        try:
            self.answer(200, "application/json", json.dumps(event).encode(), headers)
        except BrokenPipeError:
            pass

    def do_POST(self):
        said = self.body()
        RuntimeApi.noted.put((self.path.rsplit("/", 1)[1], time.perf_counter(), said))
        self.answer(202, "application/json", b"{}")


def serve(handler, context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    # Who is killed hangs up.
    server.handle_error = lambda *_: None
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def certificate():
    """A certificate for 127.0.0.1, and the bundle that trusts it."""
    key, cert, bundle = (WORK / name for name in ("key.pem", "cert.pem", "bundle.pem"))
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    usage = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    made = ["openssl", "req", "-x509", *curve, "-keyout", key, "-out", cert, *subject, *usage]
    subprocess.run(made, **quiet)
    trusted = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
    bundle.write_text((trusted.read_text() if trusted.is_file() else "") + cert.read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, bundle


def environment(runtime, aws, bundle):
    """What Lambda and a test's own endpoints tell a function."""
    return {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime}",
        "AWS_ENDPOINT_URL": f"https://127.0.0.1:{aws}",
        **{name: str(bundle) for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")},
        **{"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"},
        **{"AWS_LAMBDA_FUNCTION_NAME": "bench", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256"},
        **{"AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_LOG_GROUP_NAME": "log", "AWS_LAMBDA_LOG_STREAM_NAME": "log"},
    }
