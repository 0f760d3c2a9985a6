"""Lambda as its functions see it: the documented runtime interface, for one process at a time, with a clock beside it."""

import contextlib
import http.server
import json
import pathlib
import queue
import socket
import subprocess
import threading
import time

LIMIT_S = 60


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self):
        event = self.server.events.get()
        if event is None:  # the process is about to be ended
            self.close_connection = True
            return
        headers = {
            "lambda-runtime-aws-request-id": "00000000-0000-0000-0000-000000000000",
            "lambda-runtime-deadline-ms": "4102444800000",
            "lambda-runtime-invoked-function-arn": "arn:aws:lambda:us-east-1:000000000000:function:bench",
            "content-type": "application/json",
        }
        self._send(200, headers, event)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])) if "content-length" in self.headers else self._chunks()
        at = time.perf_counter()
        if self.path.endswith("/response"):
            self.server.answers.put((at, json.loads(body)))
        else:
            self.server.answers.put((at, {"failed": body.decode(errors="replace")}))
        self._send(202, {}, b"")

    def _chunks(self):
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status, headers, body):
        """In one piece: in two, the second would wait for the acknowledgement of the first."""
        lines = [f"HTTP/1.1 {status} -", f"content-length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
        self.wfile.write("\r\n".join([*lines, "", ""]).encode() + body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.events, self.answers = queue.Queue(8), queue.Queue(8)

    def handle_error(self, request, client_address):
        pass  # a process that is killed leaves connections behind


class Function:
    """A process behind the interface."""

    def __init__(self, server, process, started):
        self.server, self.process, self.started = server, process, started

    def invoke(self, event):
        """The answer, and seconds from handing the event out to having the answer."""
        data = json.dumps(event).encode()
        start = time.perf_counter()
        self.server.events.put(data)
        at, answer = self.server.answers.get(timeout=LIMIT_S)
        return answer, at - start

    def first(self, event):
        """The answer, and seconds from the process's start to having it."""
        self.server.events.put(json.dumps(event).encode())
        until = time.monotonic() + LIMIT_S
        while True:
            try:
                at, answer = self.server.answers.get(timeout=0.2)
                return answer, at - self.started
            except queue.Empty:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the function does not answer; its log says why") from None

    def cpu_s(self):
        """Processor time of all its threads so far, by the scheduler's own count."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def rss_kb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


@contextlib.contextmanager
def function(arguments, env, log, cpu=None):
    """Starts the process as Lambda does. `cpu` is the share of a core that it gets (cgroup v1, as root); None: what there is."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {
        **env,
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/bench",
        "AWS_LAMBDA_LOG_STREAM_NAME": "bench",
    }
    with quota(cpu) as group:
        if group:
            arguments = ["/bin/sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh", *arguments]
        started = time.perf_counter()
        process = subprocess.Popen(arguments, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield Function(server, process, started)
        finally:
            process.kill()
            process.wait()
            server.events.put(None)
            server.shutdown()
            server.server_close()


@contextlib.contextmanager
def quota(cpu):
    """A control group with that share of a core."""
    if cpu is None:
        yield None
        return
    group = pathlib.Path("/sys/fs/cgroup/cpu/trunkline-bench")
    group.mkdir(exist_ok=True)
    try:
        (group / "cpu.cfs_period_us").write_text("100000")
        (group / "cpu.cfs_quota_us").write_text(str(int(cpu * 100_000)))
        yield group
    finally:
        group.rmdir()
