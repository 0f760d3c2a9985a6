"""The built functions behind cargo-lambda's emulator: every sample of a webhook by `cargo lambda invoke`, and requests by function URL.

    make test-lambda

`cargo lambda watch` would build the functions once more; with `--only-lambda-apis` it serves the interfaces alone, and the binaries of
`make lambda` are started here, as Lambda would.
"""

import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import samples
import stand

FUNCTIONS = ("webhook", "token", "api", "sweep")
CARGO_LAMBDA = samples.REPOSITORY / ".cache/lambda/bin/cargo-lambda"


class Emulator:
    def __init__(self, port, folder):
        self.port, self.folder = port, folder

    def invoke(self, function, event):
        """The answer, by `cargo lambda invoke`."""
        path = pathlib.Path(self.folder) / "event.json"
        path.write_text(json.dumps(event))
        command = [str(CARGO_LAMBDA), "lambda", "invoke", function, "-A", "127.0.0.1", "-P", str(self.port), "--data-file", str(path)]
        done = subprocess.run(command, cwd=samples.REPOSITORY, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise SystemExit(f"cargo lambda invoke {function}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def url(self, function, method, path, headers, body=None):
        """Status and answer, by the emulator's function URL."""
        address = f"http://127.0.0.1:{self.port}/lambda-url/{function}{path}"
        request = urllib.request.Request(address, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@contextlib.contextmanager
def emulator(binaries, env, log):
    """cargo-lambda's interfaces, and a process of each function behind them."""
    port = stand.free_port()
    watch = [str(CARGO_LAMBDA), "lambda", "watch", "--only-lambda-apis", "--ignore-changes", "-A", "127.0.0.1", "-P", str(port), "-p", "lambda"]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        process = stack.enter_context(stand.running(watch, cwd=samples.REPOSITORY, stdout=log, stderr=log))
        stand.wait_for_port(port, 60, process)
        env = {**env, "LAMBDA_TASK_ROOT": stand.package(folder)}
        for name in FUNCTIONS:
            runtime = {
                "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{port}/.rt/{name}",
                "AWS_LAMBDA_FUNCTION_NAME": name,
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
                "AWS_LAMBDA_LOG_GROUP_NAME": "emulator",
                "AWS_LAMBDA_LOG_STREAM_NAME": "emulator",
            }
            program = binaries / name / "bootstrap" if (binaries / name).is_dir() else binaries / name
            stack.enter_context(stand.running([str(program)], env={**env, **runtime}, stdout=log, stderr=log))
        yield Emulator(port, folder)


def check(what, found, expected):
    if found != expected:
        raise SystemExit(f"{what}: {found}, not {expected}")


def run(emulator, url):
    """What the functions must do with events of each kind."""
    seen = {}
    for name in samples.names():
        answer = emulator.invoke("webhook", samples.renewed(name))
        check(name, answer["statusCode"], 200)
        outcome = json.loads(answer["body"])["outcome"] if answer.get("body") else ""
        seen[outcome] = seen.get(outcome, 0) + 1
    print(f"webhook: {len(samples.names())} samples accepted: " + ", ".join(f"{count} {name}" for name, count in sorted(seen.items())))
    check("webhook, recorded", emulator.invoke("webhook", samples.read("room_started"))["statusCode"], 401)
    jobs = stand.sqs(url, "GetQueueAttributes", {"QueueUrl": stand.queue_url(url), "AttributeNames": ["ApproximateNumberOfMessages"]})
    check("jobs in SQS", int(jobs["Attributes"]["ApproximateNumberOfMessages"]), seen.get("job_enqueued", 0))

    answer = emulator.invoke("token", samples.request("POST", "/v1/token", {}, stand.API_KEY))
    check("token", answer["statusCode"], 201)
    answer = emulator.invoke("token", samples.request("POST", "/v1/token", {}))
    check("token without a key", answer["statusCode"], 401)
    answer = emulator.invoke("api", samples.request("GET", "/v1/calls", None, stand.API_KEY))
    check("api", answer["statusCode"], 200)
    answer = emulator.invoke("sweep", {"source": "aws.scheduler"})
    # Its failures are those of listing egresses, which this livekit-server cannot do without Redis.
    check("sweep", sorted(answer), ["calls", "failures", "findings"])
    print(f"token, api and sweep answer; the sweep has looked at {answer['calls']} calls")

    # As a request, of which the emulator makes the event; this type of body comes in base64.
    event = samples.renewed("participant_joined.sip.ringing")
    headers = {name: event["headers"][name] for name in ("authorization", "content-type")}
    status, _ = emulator.url("webhook", "POST", "/webhooks/livekit", headers, event["body"].encode())
    check("webhook by function URL", status, 200)
    status, _ = emulator.url("webhook", "POST", "/webhooks/livekit", headers, event["body"].encode() + b" ")
    check("webhook by function URL, altered", status, 401)
    status, _ = emulator.url("token", "POST", "/v1/token", {"authorization": f"Bearer {stand.API_KEY}", "content-type": "application/json"}, b"{}")
    check("token by function URL", status, 201)
    print("function URLs: a signed webhook is taken, an altered one is not, a token is issued")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", type=pathlib.Path, help="the folder of a build for this machine")
    binaries = parser.parse_args().binaries.resolve()
    with stand.ministack() as url, stand.livekit() as livekit, tempfile.TemporaryFile() as log:
        env = {**stand.settings(url), "TRUNKLINE__LIVEKIT__URL": f"ws://{livekit}"}
        try:
            with emulator(binaries, env, log) as running:
                run(running, url)
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-6000:])
            raise


main()
