"""Measures how long each built function takes from its start to its first question for work, and the memory
it has then (B12). Usage: init.py BUILD [ROUNDS]"""

import http.server
import pathlib
import statistics
import subprocess
import sys
import threading
import time

ENVIRONMENT = {
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_LAMBDA_FUNCTION_NAME": "test",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_FUNCTION_VERSION": "1",
    "DATA_BUCKET": "test",
    "OPT_INS_TABLE": "test",
    "CONSENTS_TABLE": "test",
    "BATCHES_TABLE": "test",
    "CLAIMS_TABLE": "test",
    "RECORDS_STATE_MACHINE_ARN": "arn:aws:states:eu-west-1:000000000000:stateMachine:Records",
    "RECORDS_EXPRESS_STATE_MACHINE_ARN": "arn:aws:states:eu-west-1:000000000000:stateMachine:RecordsExpress",
    "BATCH_STATE_MACHINE_ARN": "arn:aws:states:eu-west-1:000000000000:stateMachine:Batch",
}


class Runtime(http.server.BaseHTTPRequestHandler):
    """Lambda's runtime API, so far as to be asked for the first event."""

    def do_GET(self):
        self.server.asked_at = time.perf_counter()
        self.server.asked.set()
        self.server.stopped.wait()

    def log_message(self, *_):
        pass


def measure(binary):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Runtime) as server:
        server.asked, server.stopped = threading.Event(), threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        started = time.perf_counter()
        process = subprocess.Popen([binary], env=ENVIRONMENT | {"AWS_LAMBDA_RUNTIME_API": address})
        try:
            assert server.asked.wait(10), f"{binary} asks for no event"
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        finally:
            process.kill()
            process.wait()
            server.stopped.set()
            server.shutdown()
    memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return (server.asked_at - started) * 1000, memory / 1024


def main(build, rounds):
    for binary in sorted(pathlib.Path(build).glob("*/bootstrap")):
        times, memory = zip(*(measure(binary) for _ in range(rounds)))
        print(
            f"{binary.parent.name:28} {statistics.median(times):5.1f} ms"
            f" ({min(times):.1f} to {max(times):.1f}) {max(memory):5.1f} MiB"
        )


main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5)
