"""Webhooks at a steady rate into `trunkline serve --only functions`: what an answer takes, and whether anything is lost.

    make bench-webhook                   # ARGS="--rate 200 --seconds 30", ARGS="--binary target/debug/trunkline"

Ten webhooks for each call, as livekit-server sends them for a call that no worker claims: so the job is enqueued, every event is kept, and the
last one closes the call, which no other webhook costs as much as. They are sent at their times whether or not earlier ones are answered, and the time
of each counts from then on, so that a sender that waits hides nothing. A real livekit-server is asked to set each room's metadata; that it has no such room makes no difference to the function.
At the end the store must have every event, the queue one job for each call, and every call its record.
"""

import argparse
import http.client
import os
import pathlib
import queue
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import samples
import stand

CALL = (
    "room_started",
    "participant_joined.sip.ringing",
    "participant_joined.agent",
    "track_published.microphone",
    "track_published.microphone",
    "track_unpublished.microphone",
    "track_unpublished.microphone",
    "participant_left.agent.client_initiated",
    "participant_left.sip.client_initiated.was_active",
    "room_finished",
)
# How many calls are under way at once: the webhooks of one are as far apart as those of so many others.
AT_ONCE = 20
SENDERS = 32


def webhooks(calls):
    """Names, bodies and tokens, signed beforehand, in the order in which they are sent."""
    made = []
    for first in range(0, calls, AT_ONCE):
        group = [samples.new_id("RM_") for _ in range(min(AT_ONCE, calls - first))]
        for step in CALL:
            for call in group:
                event = samples.renewed(step, call)
                made.append((step, event["body"].encode(), event["headers"]["authorization"]))
    return made


class Senders:
    """Connections that are kept, as livekit-server keeps its own."""

    def __init__(self, port, count):
        self.port, self.due = port, queue.Queue()
        self.times, self.refused, self.late = [], [], []
        self.threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.connect()
        while (item := self.due.get()) is not None:
            at, (step, body, token) = item
            self.late.append(time.perf_counter() - at)
            headers = {"authorization": token, "content-type": "application/webhook+json"}
            try:
                connection.request("POST", "/webhooks/livekit", body, headers)
                answer = connection.getresponse()
                text = answer.read()
            except OSError as error:
                self.refused.append(str(error))
                connection.close()
                continue
            self.times.append((time.perf_counter() - at, step))
            if answer.status != 200:
                self.refused.append(f"{answer.status} {text[:200]}")
        connection.close()

    def send(self, made, rate):
        start = time.perf_counter() + 0.2
        for number, item in enumerate(made):
            at = start + number / rate
            time.sleep(max(0.0, at - time.perf_counter()))
            self.due.put((at, item))
        for _ in self.threads:
            self.due.put(None)
        for thread in self.threads:
            thread.join()


def settings(folder, port, livekit):
    (folder / "trunkline.yaml").write_text(
        f"livekit: {{url: \"ws://{livekit}\", api_key: {samples.KEY}, api_secret: {samples.SECRET}}}\n"
        f"http: {{listen: \"127.0.0.1:{port}\"}}\nsip: {{listen: \"127.0.0.1:0\"}}\n"
        f"queue: sqlite:queue.sqlite\nstore: file:store\nagents: [{{profile: reception, numbers: [\"{stand.NUMBER}\"]}}]\n"
    )
    stand.package(folder)


def found(folder):
    """What lies in store and queue: (events, records, jobs)."""
    store = folder / "store"
    events = sum(1 for _ in store.glob("calls/*/*/events/*.json"))
    records = sum(1 for _ in store.glob("calls/*/*/record.json"))
    database = sqlite3.connect(f"file:{folder}/queue.sqlite?mode=ro", uri=True)
    (jobs,) = database.execute("SELECT count(*) FROM message").fetchone()
    database.close()
    return events, records, jobs


def cpu_s(pid):
    """Processor time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def quantiles(ordered):
    return f"p50 {quantile(ordered, 0.5):.1f} ms, p90 {quantile(ordered, 0.9):.1f}, p99 {quantile(ordered, 0.99):.1f}, most {ordered[-1]:.1f}"


def report(options, senders, sent, kept, cpu_ms):
    times = sorted(value * 1000 for value, _ in senders.times)
    calls = sent // len(CALL)
    events, records, jobs = kept
    late = sorted(value * 1000 for value in senders.late)
    print(f"{sent} webhooks of {calls} calls at {options.rate} a second: {quantiles(times)}")
    for step in dict.fromkeys(CALL):
        print(f"  {step:<52}{quantiles(sorted(value * 1000 for value, of in senders.times if of == step))}")
    print(f"of which the sender itself was late by {quantiles(late)}")
    print(f"processor time of the functions: {cpu_ms:.2f} ms a webhook")
    print(f"answered {len(times)}, not with 200: {len(senders.refused)}; kept {events} events, {jobs} jobs, {records} records")
    print(f"{os.cpu_count()} cores, load {', '.join(f'{value:.1f}' for value in os.getloadavg())}; {options.binary}")
    faults = list(senders.refused[:3])
    if (events, records, jobs) != (sent, calls, calls):
        faults.append("something is lost")
    if quantile(times, 0.99) > options.limit_ms:
        faults.append(f"p99 is above {options.limit_ms} ms")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=samples.REPOSITORY / "target/release/trunkline")
    parser.add_argument("--rate", type=float, default=100, help="webhooks a second (100)")
    parser.add_argument("--seconds", type=float, default=60, help="for so long (60); tokens hold for five minutes")
    parser.add_argument("--limit-ms", type=float, default=50, help="the most that p99 may be (50)")
    options = parser.parse_args()
    port = stand.free_port()
    with stand.livekit() as livekit, tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        settings(folder, port, livekit)
        made = webhooks(int(options.rate * options.seconds) // len(CALL))
        with open(folder / "log", "w+b") as log:
            command = [str(options.binary), "serve", "--only", "functions", "--config", str(folder / "trunkline.yaml")]
            with stand.running(command, stdout=log, stderr=subprocess.STDOUT) as process:
                try:
                    stand.wait_for(f"http://127.0.0.1:{port}/", 20, process)
                except RuntimeError:
                    sys.stderr.write((folder / "log").read_text()[-4000:])
                    raise
                senders = Senders(port, SENDERS)
                before = cpu_s(process.pid)
                senders.send(made, options.rate)
                cpu_ms = (cpu_s(process.pid) - before) * 1000 / len(made)
        kept = found(folder)
        faults = report(options, senders, len(made), kept, cpu_ms)
        if faults:
            sys.exit("; ".join(faults))


main()
