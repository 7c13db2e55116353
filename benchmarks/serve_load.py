"""A server under load on loopback: clients of every protocol, good and bad requests; nothing fails that should not."""

import base64
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import requests
import websockets.sync.client

from vlahub.conversion.serving.json_values import decoded, encoded
from vlahub.conversion.serving.msgpack_values import packed, unpacked_map

sys.path.append(str(Path(__file__).parents[1] / "examples"))
from tiny_models import CHUNKS, STATE, write_model

SHARE_OF_BAD = 0.2
WARM = 0.25  # share of the time before memory is first looked at
TIMEOUT = 60
BAD = {
    "nan in the state": {"state": np.full(STATE, np.nan)},
    "a short state": {"state": np.zeros(STATE - 1)},
    "no wrist image": {"wrist_image": None},
    "a float image": {"full_image": np.zeros((96, 128, 3))},
    "a cut array": {"full_image": {"__numpy__": base64.b64encode(b"cut").decode(), "dtype": "|u1", "shape": [9, 9, 3]}},
    "no instruction": {"instruction": ""},
    "unknown statistics": {"unnorm_key": "other"},
    "unknown field": {"depth": 1},
    "no picture": {"wrist_image": "not base64"},
}
LIBERO = {"full_image": "observation/image", "wrist_image": "observation/wrist_image", "instruction": "prompt"}


@dataclass
class Seen:
    """What the clients saw. seconds: of answered requests, by protocol; wrong: what should not have been."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, protocol: str, seconds: float, bad: str | None, refused: bool, action: np.ndarray | None) -> None:
        """bad: what was wrong with the request; action: (steps, 7) that came."""
        self.statuses[f"{protocol} {'refused' if refused else 'answered'}"] += 1
        if bad is None and not refused:
            self.seconds[protocol].append(seconds)
        if (bad is not None) != refused:
            self.wrong.append(f"{protocol}: {bad or 'a good request'} was {'refused' if refused else 'answered'}")
        elif not refused and (action is None or action.shape[-1] != 7 or not np.isfinite(action).all()):
            self.wrong.append(f"{protocol}: an answer is no action")


def write_policy(folder: Path) -> Path:
    """A tiny CogVLA of two views with statistics."""
    import transformers

    ones = {"q01": [-1.0] * STATE, "q99": [1.0] * STATE}
    statistics = {"demo": {"proprio": ones, "action": {name: values[:7] for name, values in ones.items()}}}
    write_model("cogvla", folder, norm_stats=statistics)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    processor.norm_stats = statistics
    processor.save_pretrained(folder)
    return folder


def good_request(draw: np.random.Generator) -> dict:
    """In OpenVLA-OFT's form."""
    views = draw.integers(0, 256, (2, 96, 128, 3), dtype=np.uint8)
    state = draw.uniform(-1, 1, STATE)
    return {"full_image": views[0], "wrist_image": views[1], "state": state, "instruction": "pick up the bowl"}


def http_client(url: str, session: str | None, seen: Seen, until: float, seed: int) -> None:
    """Posts to /act, with a session or whole chunks."""
    draw, choose, protocol = np.random.default_rng(seed), random.Random(seed), "session" if session else "act"
    with requests.Session() as connection:
        while time.monotonic() < until:
            bad = choose.choice(list(BAD)) if choose.random() < SHARE_OF_BAD else None
            fields = good_request(draw) | ({"session": session} if session else {}) | BAD.get(bad, {})
            body = json.dumps(encoded(fields), allow_nan=False)
            start = time.monotonic()
            response = connection.post(url + "/act", data=body, timeout=TIMEOUT)
            seconds, answer = time.monotonic() - start, json.loads(response.text, object_hook=decoded)
            if response.status_code not in (200, 400):
                seen.wrong.append(f"{protocol}: {response.status_code} {response.text[:200]}")
                continue
            refused = response.status_code == 400
            seen.add(protocol, seconds, bad, refused, None if refused else np.array(answer))


def openpi_client(url: str, seen: Seen, until: float, seed: int) -> None:
    """Goes on over one connection, whatever was refused on it."""
    draw, choose = np.random.default_rng(seed), random.Random(seed)
    with websockets.sync.client.connect(url.replace("http", "ws"), compression=None, max_size=None) as connection:
        unpacked_map(connection.recv())
        while time.monotonic() < until:
            bad = choose.choice(list(BAD)) if choose.random() < SHARE_OF_BAD else None
            fields = {
                name: value for name, value in (good_request(draw) | BAD.get(bad, {})).items() if value is not None
            }
            fields = {("prompt" if name == "instruction" else name): value for name, value in fields.items()}
            names = {"full_image": "observation/image", "wrist_image": "observation/wrist_image"}
            frame = packed({names.get(name, name): value for name, value in fields.items()})
            start = time.monotonic()
            connection.send(frame)
            answer = connection.recv(timeout=TIMEOUT)
            refused = isinstance(answer, str)
            action = None if refused else unpacked_map(answer)["actions"]
            seen.add("openpi", time.monotonic() - start, bad, refused, action)


def resident_megabytes(process: subprocess.Popen) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1000


def kept_going(client: Callable, seen: Seen, *arguments) -> None:
    """A client whose connection breaks is a failure of the server's."""
    try:
        client(*arguments)
    except Exception as error:
        seen.wrong.append(f"{client.__name__} ended: {type(error).__name__}: {error}")


def run_load(seconds: float, clients: int) -> tuple[Seen, list[float]]:
    """What the clients saw, and megabytes of the server, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        call = [
            sys.executable,
            "-m",
            "vlahub",
            "serve",
            f"policy={write_policy(Path(folder) / 'policy')}",
            "--port",
            "0",
        ]
        with subprocess.Popen(call, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
            try:
                url = next(line for line in process.stdout if line.startswith("serving")).split(" at ")[1].split()[0]
                return loaded(process, url, seconds, clients)
            finally:
                process.terminate()


def loaded(process: subprocess.Popen, url: str, seconds: float, clients: int) -> tuple[Seen, list[float]]:
    """See `run_load`; clients: a third of each kind."""
    seen, start = Seen(), time.monotonic()
    until, threads = start + seconds, []
    for i in range(clients):
        kinds = ((http_client, url, None), (http_client, url, f"robot {i}"), (openpi_client, url))
        client, *given = kinds[i % len(kinds)]
        threads.append(threading.Thread(target=kept_going, args=(client, seen, *given, seen, until, i)))
        threads[-1].start()
    time.sleep(seconds * WARM)
    memory = [resident_megabytes(process)]
    while any(thread.is_alive() for thread in threads):
        time.sleep(max(0.5, seconds / 20))
        memory.append(resident_megabytes(process))
    return seen, memory


def main(seconds: float = 60, clients: int = 8) -> int:
    """Print figures; 1 where something was wrong."""
    seen, memory = run_load(seconds, clients)
    print(f"{clients} clients, {seconds:g} s, {CHUNKS} actions a chunk: {dict(sorted(seen.statuses.items()))}")
    for protocol, times in sorted(seen.seconds.items()):
        p50, p95 = np.percentile(times, [50, 95]) * 1000
        print(f"{protocol}: p50 {p50:.1f} ms, p95 {p95:.1f} ms, {len(times)} answers")
    print(
        f"memory of the server: {memory[0]:.0f} MB after {seconds * WARM:g} s, {max(memory[1:]):.0f} MB at most after"
    )
    for wrong, count in Counter(seen.wrong).most_common():
        print(f"wrong, {count} times: {wrong}")
    return 1 if seen.wrong else 0
