"""The functions on Lambda beside equivalents in Python, behind one runtime interface: start and first event, warm events, memory, package.

    make bench-lambda                    # ARGS="--runs 20 --cpu 0.145"

Python runs on AWS's own runtime client (awslambdaric), its bytecode compiled beforehand, which a package on Lambda often is not.
"""

import argparse
import io
import os
import pathlib
import platform
import statistics
import sys
import tempfile
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import interface
import samples
import stand

HERE = pathlib.Path(__file__).resolve().parent
ARCHITECTURE = {"x86_64": "x86-64", "aarch64": "arm64"}.get(platform.machine())
PYTHON = samples.REPOSITORY / ".cache/bench-lambda/bin/python"
# Of the managed runtime, or of pip.
NOT_PACKAGED = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "awslambdaric", "runtime_client", "simplejson", "snapshot_restore", "distutils")
BOTO = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "python_dateutil", "urllib3", "six")


def webhook_event():
    # Metadata that are somebody else's: the function then has no reason to ask LiveKit's API.
    return samples.renewed("participant_joined.sip.ringing", change=lambda body: body["room"].update(metadata="not ours"))


def token_event():
    return samples.request("POST", "/v1/token", {"room_name": "a-room"}, stand.API_KEY)


EVENTS = {"token": (token_event, 201), "webhook": (webhook_event, 200)}


def subjects(binaries, url, package):
    """(function, language) → arguments and environment."""
    python = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": stand.REGION,
        "AWS_REGION": stand.REGION,
        "PYTHONPATH": str(HERE / "equivalents"),
        "LIVEKIT_URL": "ws://127.0.0.1:9",
        "LIVEKIT_API_KEY": samples.KEY,
        "LIVEKIT_API_SECRET": samples.SECRET,
        "ACCESS_KEY": stand.API_KEY,
        "QUEUE_URL": stand.queue_url(url),
        "BUCKET": stand.BUCKET,
        "ENDPOINT": url,
    }
    rust = {**stand.settings(url), "LAMBDA_TASK_ROOT": package}
    # The token function has neither queue nor store.
    bare = {name: value for name, value in rust.items() if name not in ("TRUNKLINE__QUEUE", "TRUNKLINE__STORE")}
    runtime = [str(PYTHON), "-m", "awslambdaric"]
    return {
        ("token", "Rust"): ([program(binaries, "token")], bare),
        ("token", "Python"): ([*runtime, "token_endpoint.handler"], python),
        ("webhook", "Rust"): ([program(binaries, "webhook")], rust),
        ("webhook", "Python"): ([*runtime, "webhook.handler"], python),
    }


def program(binaries, name):
    """As cargo-lambda lays it out, or as cargo does."""
    for path in (binaries / name / "bootstrap", binaries / name):
        if path.is_file():
            return str(path)
    raise SystemExit(f"{binaries / name} is missing: run `make lambda`")


class Figures:
    def __init__(self):
        self.cold, self.cpu, self.warm, self.warm_cpu, self.rss = [], [], [], [], []

    def measure(self, name, arguments, env, log, options):
        event, status = EVENTS[name]
        with interface.function(arguments, env, log, options.cpu) as function:
            answer, seconds = function.first(event())
            check(name, answer, status)
            self.cold.append(seconds * 1000)
            self.cpu.append(function.cpu_s() * 1000)
            for _ in range(options.warm):
                answer, seconds = function.invoke(event())
                check(name, answer, status)
                self.warm.append(seconds * 1000)
            self.warm_cpu.append((function.cpu_s() * 1000 - self.cpu[-1]) / options.warm)
            self.rss.append(function.rss_kb() / 1024)


def check(name, answer, status):
    if answer.get("statusCode") != status:
        raise SystemExit(f"{name} has answered {answer}")


def spread(values):
    return f"{statistics.median(values):8.1f} ({min(values):.1f}–{max(values):.1f})"


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def table(figures, sizes):
    print(f"\n{'function':<9}{'':<8}{'first event, ms':>26}{'its CPU, ms':>24}{'warm p50':>10}{'p99, ms':>9}{'CPU, ms':>9}{'RSS, MiB':>10}{'zip, MB':>9}")
    for (name, language), found in figures.items():
        print(
            f"{name:<9}{language:<8}{spread(found.cold):>26}{spread(found.cpu):>24}{percentile(found.warm, 0.5):>10.2f}"
            f"{percentile(found.warm, 0.99):>9.2f}{statistics.median(found.warm_cpu):>9.2f}{statistics.median(found.rss):>10.1f}{sizes[name, language]:>9.2f}"
        )
    for name in EVENTS:
        rust, python = figures[name, "Rust"], figures[name, "Python"]
        times = statistics.median(python.cold) / statistics.median(rust.cold)
        cpu = statistics.median(python.cpu) / statistics.median(rust.cpu)
        print(f"{name}: from the start to the first answer {times:.1f} times as fast, with {cpu:.1f} times less CPU")


def zip_mb(entries):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, name in entries:
            archive.write(path, name)
    return len(data.getvalue()) / 1e6


def package_sizes(binaries):
    sizes = {}
    profiles = [(path, f"profiles/{path.name}") for path in (samples.REPOSITORY / "profiles").iterdir()]
    site = next((PYTHON.parent.parent / "lib").glob("python3*/site-packages"))
    for name, handler, boto in (("token", "token_endpoint", False), ("webhook", "webhook", True)):
        sizes[name, "Rust"] = zip_mb([(program(binaries, name), "bootstrap"), *profiles])
        left_out = NOT_PACKAGED if boto else NOT_PACKAGED + BOTO
        files = [(HERE / f"equivalents/{handler}.py", f"{handler}.py")]
        for path in site.rglob("*"):
            relative = path.relative_to(site)
            if path.is_file() and "__pycache__" not in relative.parts and not relative.parts[0].startswith(left_out):
                files.append((path, str(relative)))
        sizes[name, "Python"] = zip_mb(files)
    return sizes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", type=pathlib.Path, default=samples.REPOSITORY / f"target/lambda-{ARCHITECTURE}")
    parser.add_argument("--runs", type=int, default=10, help="starts of each function (10)")
    parser.add_argument("--warm", type=int, default=50, help="further events after each start (50)")
    parser.add_argument("--cpu", type=float, help="share of a core; Lambda gives 0.145 to 256 MB (needs root and cgroup v1)")
    options = parser.parse_args()
    with stand.ministack() as url, tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w+b") as log:
        package = stand.package(pathlib.Path(folder))
        known = subjects(options.binaries, url, package)
        figures = {key: Figures() for key in known}
        try:
            # One after the other in every run, so that what else the machine does meets all of them.
            for run in range(options.runs + 1):
                for key, (arguments, env) in known.items():
                    # The first run only brings the files into memory.
                    found = figures[key] if run else Figures()
                    found.measure(key[0], arguments, env, log, options)
        except (SystemExit, RuntimeError):
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-4000:])
            raise
    table(figures, package_sizes(options.binaries))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    share = f", {options.cpu} of a core" if options.cpu else ""
    print(f"\n{options.runs} starts, {options.warm} further events each{share}; median (least–most). {os.cpu_count()} cores, load {load}")


main()
