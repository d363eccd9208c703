"""Runs an emulator on a free port of 127.0.0.1 until standard input ends, then kills it and all that it started.

MiniStack leaves the functions' processes behind when it ends. They are in its process group, and nothing else is: the
group is what is killed. Standard input ends when the test that holds its other end is over, whichever way.

Usage: emulator.py ministack|moto FOLDER. The first line of output is the port. FOLDER is emptied at the end.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

START_SECONDS = 90
# Another process may take the port between our looking for a free one and the emulator's opening it.
ATTEMPTS = 5


def ministack(port):
    environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": "us-east-1",
        "LOG_LEVEL": "WARNING",
    }
    return ["ministack"], environment, "/_ministack/health"


def moto(port):
    return ["moto.server", "-H", "127.0.0.1", "-p", str(port)], {}, "/moto-api/"


# Its module with arguments, its environment, and a path that answers once it is up.
EMULATORS = {"ministack": ministack, "moto": moto}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(emulator, folder, port):
    module, environment, _ = emulator(port)
    # Nothing is inherited but the path: a proxy, a profile or a region of the developer's would reach the functions.
    environment |= {"PATH": os.environ.get("PATH", os.defpath), "HOME": folder, "TMPDIR": folder}
    with open(os.path.join(folder, "log"), "a", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *module],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def answers(emulator, port):
    *_, path = emulator(port)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://127.0.0.1:{port}{path}", timeout=2
        ):
            return True
    except (urllib.error.URLError, OSError):
        return False


def start_and_wait(emulator, folder):
    for _ in range(ATTEMPTS):
        port = free_port()
        process = start(emulator, folder, port)
        until = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < until:
            if answers(emulator, port):
                return process, port
            time.sleep(0.02)
        stop(process)
    with open(os.path.join(folder, "log"), encoding="utf-8") as log:
        sys.exit(f"the emulator does not start:\n{log.read()[-4000:]}")


def stop(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def main(emulator, folder):
    # Ctrl-C reaches the whole foreground group; the end of standard input follows it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.makedirs(folder)
    try:
        process, port = start_and_wait(emulator, folder)
        try:
            print(port, flush=True)
            sys.stdin.read()
        finally:
            stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main(EMULATORS[sys.argv[1]], sys.argv[2])
