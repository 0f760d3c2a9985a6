"""What the benchmarks run against: MiniStack (SQS, S3) and the settings of the functions. Everything listens on loopback."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import samples

REGION = "us-east-1"
BUCKET = "trunkline-calls"
QUEUE = "call-jobs"
API_KEY = "a-key-for-the-operators-of-this-bench-0123456789"
NUMBER = "+15550100"  # that of the samples


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for_port(port, seconds, process):
    """Until something listens there."""
    _wait(lambda: socket.create_connection(("127.0.0.1", port), 2).close(), f"port {port}", seconds, process)


def wait_for(url, seconds, process):
    """Until it answers, with whatever status."""

    def ask():
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(url, timeout=2).close()

    _wait(ask, url, seconds, process)


def _wait(attempt, what, seconds, process):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} has ended with {process.returncode}")
        try:
            return attempt()
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"{what} does not answer within {seconds} s")


@contextlib.contextmanager
def running(arguments, **settings):
    """A process that ends with the block."""
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, **settings)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def ministack():
    """MiniStack with the bucket and the two queues; gives its address."""
    program = samples.REPOSITORY / ".cache/ministack/bin/ministack"
    if not program.exists():
        raise SystemExit("MiniStack is missing: run `make setup`")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "wb") as log:
        env = {
            **os.environ,
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "MINISTACK_REGION": REGION,
            "TMPDIR": folder,
            "LOG_LEVEL": "WARNING",
        }
        with running([str(program)], env=env, stdout=log, stderr=log) as process:
            url = f"http://127.0.0.1:{port}"
            wait_for(f"{url}/_ministack/health", 30, process)
            _fill(url)
            yield url


def _fill(url):
    _ask(url, "s3", "PUT", f"/{BUCKET}", b"", {})
    fifo = {"FifoQueue": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    for name in (f"{QUEUE}-dead.fifo", f"{QUEUE}.fifo"):
        sqs(url, "CreateQueue", {"QueueName": name, "Attributes": fifo})


def sqs(url, action, arguments):
    """What an operator would do with the `aws` command."""
    headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"AmazonSQS.{action}"}
    return json.loads(_ask(url, "sqs", "POST", "/", json.dumps(arguments).encode(), headers))


def _ask(url, service, method, path, body, headers):
    scope = f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=x"
    request = urllib.request.Request(url + path, body, {**headers, "authorization": scope}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def queue_url(url):
    return f"{url}/000000000000/{QUEUE}.fifo"


def settings(url):
    """The environment of the functions, as `infra/terraform` would set it."""
    access = [{"name": "operators", "key": API_KEY, "scopes": ["token:create", "calls:read"], "rooms": ["*"]}]
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "TRUNKLINE__LIVEKIT__URL": "ws://127.0.0.1:9",
        "TRUNKLINE__LIVEKIT__API_KEY": samples.KEY,
        "TRUNKLINE__LIVEKIT__API_SECRET": samples.SECRET,
        "TRUNKLINE__QUEUE": f"sqs:{queue_url(url)}?region={REGION}",
        "TRUNKLINE__STORE": f"s3://{BUCKET}?region={REGION}&endpoint={url}&path_style=true&spool=spool",
        "TRUNKLINE__AGENTS": json.dumps([{"profile": "reception", "numbers": [NUMBER]}]),
        "TRUNKLINE__ACCESS__KEYS": json.dumps(access),
    }


@contextlib.contextmanager
def livekit():
    """A livekit-server of its own, without Redis; gives its address."""
    program = samples.REPOSITORY / ".cache/bin/livekit-server"
    if not program.exists():
        raise SystemExit("livekit-server is missing: run `make setup`")
    port = free_port()
    config = {
        "port": port,
        "bind_addresses": ["127.0.0.1"],
        "rtc": {"tcp_port": free_port(), "udp_port": free_port(), "use_external_ip": False, "enable_loopback_candidate": True},
        "keys": {samples.KEY: samples.SECRET},
        "logging": {"level": "warn"},
    }
    with running([str(program), "--config-body", json.dumps(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(f"http://127.0.0.1:{port}/", 20, process)
        yield f"127.0.0.1:{port}"


def package(folder):
    """What lies beside a function's program."""
    shutil.copytree(samples.REPOSITORY / "profiles", pathlib.Path(folder) / "profiles")
    return str(folder)
