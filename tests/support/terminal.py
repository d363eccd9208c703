"""Runs a command on a terminal of its own and does what a person would: waits for words, presses keys.

usage: terminal.py STEPS COMMAND...
STEPS is a JSON list of {"until": words}, {"send": keys}, {"resize": [columns, rows]}, {"signal": number} and {"end": true}.
Prints a JSON document: what was on the screen, the exit status, and whether the terminal is as it was.
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
import time

PATIENCE_SECONDS = 60


def resize(terminal, columns, rows):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Terminal:
    def __init__(self, command):
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            # It must not look before it has a size.
            time.sleep(0.2)
            os.execvp(command[0], command)
        resize(self.terminal, 100, 40)
        self.seen = ""
        self.read_up_to = 0

    def read(self):
        """Whether there may be more."""
        ready, _, _ = select.select([self.terminal], [], [], 0.1)
        if not ready:
            return True
        try:
            data = os.read(self.terminal, 65536)
        except OSError:
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)

    def until(self, words):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            place = self.seen.find(words, self.read_up_to)
            if place >= 0:
                self.read_up_to = place + len(words)
                return
            if time.monotonic() > deadline or not self.read():
                sys.exit(f"nobody said {words!r} after {self.seen[: self.read_up_to][-200:]!r}: {self.seen[self.read_up_to :]!r}")

    def end(self):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self.read()
            ended, status = os.waitpid(self.child, os.WNOHANG)
            if ended:
                # What it said last may still be on its way.
                self.read()
                return os.waitstatus_to_exitcode(status)
        sys.exit(f"it does not end: {self.seen[self.read_up_to :]!r}")


def main():
    steps, command = json.loads(sys.argv[1]), sys.argv[2:]
    terminal = Terminal(command)
    exit_status = None
    before = termios.tcgetattr(terminal.terminal)[3]
    for step in steps:
        match next(iter(step.items())):
            case ("until", words):
                terminal.until(words)
            case ("send", keys):
                os.write(terminal.terminal, keys.encode())
            case ("resize", [columns, rows]):
                resize(terminal.terminal, columns, rows)
            case ("signal", number):
                os.kill(terminal.child, number)
            case ("end", _):
                exit_status = terminal.end()
    after = termios.tcgetattr(terminal.terminal)[3]
    print(json.dumps({"seen": terminal.seen, "exit": exit_status, "restored": before == after}))


main()
