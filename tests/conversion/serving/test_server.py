"""A server on loopback and the clients that there are, of OpenVLA, OpenVLA-OFT and openpi, and what they do wrong."""

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import json_numpy
import numpy as np
import pytest
import requests
import torch
import websockets.exceptions
import websockets.sync.client
from PIL import Image
from running_server import WAIT, Running
from served_observations import observation

from vlahub.conversion.serving.action_sessions import ActionSessions
from vlahub.conversion.serving.limits import Limits
from vlahub.conversion.serving.msgpack_values import packed, unpacked_map
from vlahub.conversion.serving.prediction_service import Batching, PredictionService

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def served(policy_of):
    """Two models: the first has an L1 head, which draws nothing."""
    service = PredictionService(Limits(body=500_000))
    service.add("oft", policy_of("cogvla"), Batching(window=0.05), ActionSessions(n_action_steps=3))
    service.add("flow", policy_of("mapanything_llava3d"), Batching(), ActionSessions(ensemble=0.01))
    running = Running(service)
    yield running
    running.stop()


@pytest.fixture
def patched(monkeypatch):
    """What `json_numpy.patch()` does, as the published clients call it."""
    for name in ("dumps", "loads"):
        monkeypatch.setattr(json, name, getattr(json_numpy, name))


def as_oft(number=0, **more):
    """As experiments/robot/openvla_utils.py and aloha/run_aloha_eval.py of OpenVLA-OFT put it together."""
    given = observation(number)
    views = {"full_image": given["images"][0], "wrist_image": given["images"][1]}
    return {**views, "state": np.array(given["state"]), "instruction": given["instruction"], **more}


def wanted(policy, number=0, **more):
    return policy.predicted([policy.prepared(observation(number, **more))])[0]


def post(served, fields, path="/act", **options):
    """A client that knows json-numpy and leaves the module json alone."""
    return requests.post(served.url + path, data=json_numpy.dumps(fields), timeout=WAIT, **options)


def test_openvla_ofts_client_gets_the_chunk_of_predict_action(served, patched, policy_of):
    action = requests.post(served.url + "/act", json=as_oft(), timeout=WAIT).json()
    assert isinstance(action, list) and np.array_equal(action, wanted(policy_of("cogvla")))
    assert all(isinstance(each, np.ndarray) and each.dtype == np.float32 for each in action)


def test_openvlas_client_gets_one_action_double_encoded_where_the_request_is(served, patched, policy_of):
    fields = as_oft()
    fields["image"] = fields.pop("full_image")
    first = wanted(policy_of("cogvla"))[0]
    action = requests.post(served.url + "/act", json=fields, timeout=WAIT).json()
    assert isinstance(action, np.ndarray) and np.array_equal(action, first)
    text = requests.post(served.url + "/act", json={"encoded": json_numpy.dumps(fields)}, timeout=WAIT).json()
    assert isinstance(text, str) and np.array_equal(json_numpy.loads(text), first)


def test_another_model_by_its_name_and_the_noise_of_a_seed(served, policy_of):
    fields = {name: value for name, value in observation().items() if name != "images"}
    fields |= {"images": observation()["images"], "seed": 5}
    answer = post(served, fields, "/flow/act").json()
    torch.manual_seed(5)
    assert np.array_equal(np.float32(answer["actions"]), wanted(policy_of("mapanything_llava3d")))
    assert answer["model"] == "flow" and set(answer["server_timing"]) == {"queue_ms", "infer_ms"}


def client_of(served, path=""):
    """The real client where it is installed, else what it does (openpi-client 0.1.2)."""
    try:
        from openpi_client.websocket_client_policy import WebsocketClientPolicy
    except ImportError:
        WebsocketClientPolicy = ClientPolicy
    return WebsocketClientPolicy(served.url.replace("http", "ws") + path)


class ClientPolicy:
    def __init__(self, host):
        self._ws = websockets.sync.client.connect(host, compression=None, max_size=None)
        self.metadata = unpacked_map(self._ws.recv())

    def get_server_metadata(self):
        return self.metadata

    def infer(self, obs):
        self._ws.send(packed(obs))
        response = self._ws.recv()
        if isinstance(response, str):
            raise RuntimeError(f"Error in inference server:\n{response}")
        return unpacked_map(response)


def as_libero(number=0, **more):
    """As examples/libero/main.py of openpi puts it together."""
    given = observation(number)
    views = {"observation/image": given["images"][0], "observation/wrist_image": given["images"][1]}
    return {**views, "observation/state": np.array(given["state"]), "prompt": given["instruction"], **more}


@pytest.mark.parametrize("real", [True, False], ids=["openpi-client", "copy"])
def test_openpis_client_gets_facts_then_chunks_and_goes_on_after_a_bad_observation(served, policy_of, real):
    if real:
        pytest.importorskip("openpi_client", reason="it needs numpy below 2: pip install --no-deps openpi-client")
        client = client_of(served)
    else:
        client = ClientPolicy(served.url.replace("http", "ws"))
    facts = client.get_server_metadata()
    assert (facts["model"], facts["action_dim"], facts["num_images_in_input"]) == ("oft", 7, 2)
    first = client.infer(as_libero())
    assert (
        np.array_equal(first["actions"], wanted(policy_of("cogvla"))) and "prev_total_ms" not in first["server_timing"]
    )
    with pytest.raises(
        RuntimeError, match=r"(?s)Error in inference server:.*InputError: state has shape .*request \w+-2"
    ):
        client.infer(as_libero(**{"observation/state": np.zeros(3)}))
    second = client.infer(as_libero(1))
    assert np.array_equal(second["actions"], wanted(policy_of("cogvla"), 1))
    assert second["server_timing"]["prev_total_ms"] > 0 and second["server_timing"]["infer_ms"] > 0
    client._ws.close()


def test_a_failure_of_the_server_closes_a_connection_as_published_and_tells_nothing_of_the_machine(
    served, policy_of, monkeypatch
):
    def fails(*args, **kwargs):
        raise OSError("/secret/path")

    monkeypatch.setattr(policy_of("mapanything_llava3d").model, "predict_action", fails)
    client = client_of(served, "/flow")
    with pytest.raises(RuntimeError, match="InternalError") as error:
        client.infer(as_libero())
    assert "secret" not in str(error.value)
    with pytest.raises(websockets.exceptions.ConnectionClosedError, match="1011"):
        client.infer(as_libero())
    response = post(served, as_oft(), "/flow/act")
    assert response.status_code == 500 and response.json()["error"]["type"] == "InternalError"
    assert "secret" not in response.text and requests.get(served.url + "/healthz", timeout=WAIT).text == "OK\n"


@pytest.mark.parametrize("client", ["act_client", "websocket_client"])
def test_the_example_clients_are_short_and_print_actions(client, served, policy_of, tmp_path):
    """In processes of their own: a script's folder comes first where it imports, and must not hide a package there."""
    path = REPOSITORY / "examples" / "clients" / f"{client}.py"
    assert len(path.read_text().splitlines()) <= 30
    if client == "websocket_client":
        pytest.importorskip("openpi_client", reason="it needs numpy below 2: pip install --no-deps openpi-client")
    given, views = observation(), [str(tmp_path / f"{i}.png") for i in range(2)]
    for view, image in zip(views, given["images"], strict=True):
        Image.fromarray(image).save(view)
    url = served.url.replace("http", "ws") if client == "websocket_client" else served.url
    words = [sys.executable, str(path), url, given["instruction"], *views, "--state", *map(str, given["state"])]
    asked = subprocess.run(words, capture_output=True, text=True, timeout=WAIT, check=False)
    assert str(wanted(policy_of("cogvla"))) in asked.stdout, asked.stderr
    asked = subprocess.run(words[:-1], capture_output=True, text=True, timeout=WAIT, check=False)  # a number is missing
    assert "state has shape" in asked.stdout + asked.stderr
    words = [*words[:4], *views * 2, *words[6:]]
    asked = subprocess.run(words, capture_output=True, text=True, timeout=WAIT, check=False)  # more than have names
    assert asked.returncode == 2 and "images" in asked.stderr + asked.stdout


REFUSED = {
    "values that are not finite": (400, {"state": np.full(8, np.nan)}),
    "state has shape": (400, {"state": np.zeros(7)}),
    "state is missing": (400, {"state": None}),
    "the instruction is": (400, {"instruction": " "}),
    "image 'full_image' is float64": (400, {"full_image": np.zeros((40, 48, 3))}),
    "sample 0 has 1 images, expected 2": (400, {"wrist_image": None}),
    "unnorm_key='other' is unknown": (400, {"unnorm_key": "other"}),
    "known are": (400, {"depth": 1}),
    "larger than 500000 bytes": (413, {"full_image": np.zeros((500, 500, 3), np.uint8)}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_never_yields_an_action(served, message):
    status, changes = REFUSED[message]
    response = post(served, as_oft(**changes), headers={"x-request-id": "mine-1"})
    error = response.json()["error"]
    assert response.status_code == status and message in error["message"] and set(response.json()) == {"error"}
    assert error["request_id"] == response.headers["x-request-id"] == "mine-1"


def test_an_error_quotes_no_megabytes_and_no_half_of_a_character(served):
    for name, words in (("a" * 10**5, "a..."), ("\ud800", "holds \\ud800;")):
        response = requests.post(served.url + "/act", data=json.dumps({"image": 1, name: 1}), timeout=WAIT)
        message = response.json()["error"]["message"]
        assert response.status_code == 400 and words in message and len(message) < 3000


def test_what_fails_beside_a_prediction_has_the_one_form_too(served, monkeypatch):
    monkeypatch.setattr(served.service, "gauges", lambda: 1 / 0)
    response = requests.get(served.url + "/metrics", headers={"x-request-id": "mine-2"}, timeout=WAIT)
    assert response.status_code == 500 and response.json()["error"]["type"] == "InternalError"
    assert response.headers["x-request-id"] == response.json()["error"]["request_id"] == "mine-2"


def test_unknown_paths_and_models_have_the_one_form_of_errors_and_the_pages_are_there(served):
    for path, status, words in (("/nothing", 404, "Not Found"), ("/act", 405, "Not Allowed")):
        response = requests.get(served.url + path, timeout=WAIT)
        assert response.status_code == status and words in response.json()["error"]["message"]
    response = post(served, as_oft(), "/other/act")
    assert response.status_code == 404 and "served are oft, flow" in response.json()["error"]["message"]
    with pytest.raises(RuntimeError, match="served are oft, flow"):
        error = websockets.sync.client.connect(served.url.replace("http", "ws") + "/other").recv()
        raise RuntimeError(error)
    models = requests.get(served.url + "/metadata", timeout=WAIT).json()["models"]
    assert [model["model"] for model in models] == ["oft", "flow"] and models[0]["unnorm_keys"] == ["demo_tabletop"]
    assert models[0]["action_names"]["demo_tabletop"] == list("abcdefg")
    page = requests.get(served.url + "/openapi.json", timeout=WAIT).json()["paths"]
    found = {
        path: page[path]["post"]["requestBody"]["content"]["application/json"] for path in ("/act", "/{model}/act")
    }
    assert "unnorm_key" in found["/act"]["schema"]["properties"] and list(found["/act"]["examples"]) == ["oft"]
    for name, example in found["/{model}/act"]["examples"].items():
        answer = requests.post(f"{served.url}/{name}/act", json=example["value"], timeout=WAIT)
        assert answer.json()["model"] == name and np.shape(answer.json()["actions"])[1] == 7
    assert requests.get(served.url + "/docs", timeout=WAIT).status_code == 200


def test_requests_at_one_time_are_predicted_together_and_counted(served, policy_of):
    before = served.metrics.get('vlahub_requests_total{model="oft",protocol="openvla",status="200"}', 0)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: post(served, as_oft(number)), range(4)))
    for number, answer in enumerate(answers):
        found = json_numpy.loads(answer.text)
        np.testing.assert_allclose(found, wanted(policy_of("cogvla"), number), atol=1e-5)
    metrics = served.metrics
    assert metrics['vlahub_requests_total{model="oft",protocol="openvla",status="200"}'] == before + 4
    name = 'vlahub_batch_size_{}{{model="oft"{}}}'
    assert metrics[name.format("bucket", ',le="1"')] < metrics[name.format("count", "")]
    assert metrics['vlahub_queue_length{model="oft"}'] == 0
    assert metrics['vlahub_request_seconds_bucket{model="oft",protocol="openvla",le="+Inf"}'] >= 4


def test_a_session_gets_one_action_after_the_other_and_never_one_of_another_task(served, policy_of):
    def step(number, **more):
        answer = post(served, {**as_oft(number), "session": "arm", **more})
        return json_numpy.loads(answer.text)[0] if answer.ok else answer.status_code

    chunks = [wanted(policy_of("cogvla"), number) for number in range(6)]
    assert np.array_equal(step(0), chunks[0][0]) and np.array_equal(step(1), chunks[0][1])
    assert step(1, state=np.full(8, np.inf)) == 400
    assert np.array_equal(step(2), chunks[0][2]) and np.array_equal(step(3), chunks[3][0])
    assert np.array_equal(step(4, reset=True), chunks[4][0])
    other = wanted(policy_of("cogvla"), 5, instruction="Put the tray")
    assert np.array_equal(step(5, instruction="Put the tray"), other[0])
    assert np.array_equal(step(5), chunks[5][0])


def test_temporal_ensembling_weighs_the_chunks_that_have_an_action_for_this_step():
    chunks = np.random.default_rng(0).standard_normal((5, 3, 2)).astype(np.float32)
    asked = iter(chunks)

    async def predict():
        return next(asked)

    async def run():
        sessions = ActionSessions(ensemble=0.5)
        return [await sessions.next_action("a", "task", False, predict) for _ in chunks]

    found = asyncio.run(run())
    for step in range(5):  # as ACT's imitate_episodes.py does it, with all chunks in one table
        rows = [chunks[start][step - start] for start in range(5) if 0 <= step - start < 3]
        weights = np.exp(-0.5 * np.arange(len(rows)))
        np.testing.assert_allclose(found[step], (np.array(rows) * (weights / weights.sum())[:, None]).sum(0), atol=1e-6)


def test_a_session_that_nobody_asked_for_a_while_begins_anew(monkeypatch):
    now, asked = [0.0], []
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("vlahub.conversion.serving.action_sessions.time", clock)

    async def predict():
        asked.append(now[0])
        return np.full((3, 1), now[0])

    async def run():
        sessions = ActionSessions(timeout=10)
        found = []
        for now[0], name in ((0, "a"), (9, "a"), (15, "b"), (18, "a"), (26, "b"), (29, "a")):
            found.append((await sessions.next_action(name, "task", False, predict))[0])
        return found, len(sessions)

    assert asyncio.run(run()) == ([0, 0, 15, 0, 26, 29], 2) and asked == [0, 15, 26, 29]


def test_a_token_is_asked_for_and_a_web_page_of_elsewhere_is_not_answered(served, policy_of):
    foreign = (
        "https://example.org",
        "null",
        "http://[",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org",
    )
    for origin in foreign:
        assert post(served, as_oft(), headers={"origin": origin}).status_code == 403
    for origin in (served.url, "http://localhost:3000", "http://[::1]:80"):
        assert post(served, as_oft(), headers={"origin": origin}).status_code == 200
    service = PredictionService()
    service.add("m", policy_of("cogvla"), Batching(), ActionSessions())
    running = Running(service, token="secret")
    try:
        for method in ("GET", "HEAD"):
            assert requests.request(method, running.url + "/healthz", timeout=WAIT).status_code == 200
            for path in ("/metrics", "/metadata", "/docs", "/openapi.json", "/m/act", "/healthz/"):
                assert requests.request(method, running.url + path, timeout=WAIT).status_code == 401
        for headers, status in (
            ({}, 401),
            ({"authorization": "Bearer wrong"}, 401),
            ({"authorization": "secret"}, 401),
            ({"authorization": "Bearer secret"}, 200),
            ({"authorization": "bearer  secret"}, 200),
        ):
            assert post(running, as_oft(), headers=headers).status_code == status
        address = running.url.replace("http", "ws")
        for path in ("", "/m", "/healthz"):
            with pytest.raises(websockets.exceptions.InvalidStatus, match="403"):
                websockets.sync.client.connect(address + path)
        with websockets.sync.client.connect(address, additional_headers={"Authorization": "Api-Key secret"}) as socket:
            assert unpacked_map(socket.recv())["model"] == "m"
    finally:
        running.stop()


def test_a_full_server_says_so_and_a_slow_one_gives_up(policy_of, monkeypatch):
    policy, gate, entered = policy_of("cogvla"), threading.Event(), threading.Event()
    predict = policy.predicted

    def slowly(batch):
        entered.set()
        assert gate.wait(WAIT)
        return predict(batch)

    monkeypatch.setattr(policy, "predicted", slowly)
    service = PredictionService(Limits(timeout=1.0))
    service.add("m", policy, Batching(window=0, waiting=1), ActionSessions())
    running = Running(service)
    try:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(post, running, as_oft())
            assert entered.wait(WAIT)
            full = post(running, as_oft())
            assert full.status_code == 503 and full.headers["retry-after"] == "1" and "ask again" in full.text
            assert first.result().status_code == 504 and "within 1 seconds" in first.result().text
        gate.set()
        assert post(running, as_oft()).status_code == 200
    finally:
        running.stop()


@pytest.mark.slow
def test_under_load_nothing_fails_that_should_not_and_memory_is_flat(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(REPOSITORY))
    from benchmarks.serve_load import run_load

    seen, memory = run_load(20, 8)
    assert not seen.wrong and set(seen.seconds) == {"act", "session", "openpi"}
    assert all(seen.statuses[f"{name} refused"] for name in seen.seconds)
    assert max(memory[1:]) < memory[0] + 50, memory
