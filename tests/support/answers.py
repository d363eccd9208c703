"""Answers `Invoke` as a deployed Coalmine would, from a document: {"now", "status", "minutes"}; and what is asked before, whether
it is one. Prints its port.

usage: answers.py FILE
"""

import http.server
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    ANSWERS = json.load(file)


class Lambda(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(ANSWERS.get(asked["command"], {"errors": [{"path": "command", "message": "is not in the document"}]}))

    def do_GET(self):
        variables = {"COALMINE_TABLE": "coalmine"}
        self.answer({"FunctionName": "Command", "Handler": "command", "Environment": {"Variables": variables}})

    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lambda)
print(server.server_address[1], flush=True)
server.serve_forever()
