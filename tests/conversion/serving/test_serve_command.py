"""`vlahub serve` as a command: what it refuses before it loads a weight, and how it stops."""

import argparse
import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import json_numpy
import numpy as np
import pytest
import requests
import websockets.sync.client
from served_observations import observation

from vlahub.conversion.cli import main
from vlahub.conversion.commands import serve
from vlahub.conversion.folders import folder_roles
from vlahub.conversion.serving import server
from vlahub.conversion.serving.limits import Limits
from vlahub.conversion.serving.msgpack_values import packed, unpacked_map
from vlahub.conversion.serving.robot_policy import RobotPolicy
from vlahub.conversion.serving.server import bound_socket, listen
from vlahub.errors import ConversionError, InputError


def test_every_option_of_requests_batches_and_sessions_reaches_its_own_place(monkeypatch, tmp_path):
    """No model is loaded; every number is another one."""
    asked = []
    policy = SimpleNamespace(has_actions=True, is_fast=False, num_action_chunks=4, check_unnorm_key=asked.append)
    policy.load = lambda *given: asked.append(given)
    checked = []
    monkeypatch.setattr(folder_roles, "check_ready", checked.append)
    monkeypatch.setattr(serve, "family_of", lambda folder: SimpleNamespace(served=lambda folder: policy))
    parser = argparse.ArgumentParser()
    serve.add_serve_arguments(parser)
    words = "--batch-window 20 --max-batch 3 --max-queue 5 --timeout 7 --n-action-steps 2 --session-timeout 11"
    words += " --max-body 13kB --max-images 17 --max-pixels 19 --unnorm-key key --instruction go --fast graphs --quiet"
    service = serve.loaded({"a": str(tmp_path)}, parser.parse_args([str(tmp_path), *words.split()]), None)
    try:
        assert service.limits == Limits(body=13_000, images=17, pixels=19, timeout=7)
        found = service.models["a"]
        assert found.queue.window == 0.02 and found.queue.max_waiting == 5
        assert (found.sessions.n_action_steps, found.sessions.ensemble, found.sessions.timeout) == (2, None, 11)
        assert found.defaults == {"unnorm_key": "key", "instruction": "go"}
        assert asked == ["key", ("cpu", "graphs", True)] and checked == [tmp_path]
    finally:
        service.close(0)


def test_a_model_has_the_name_before_the_equals_sign_or_that_of_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["mine=user/a", "runs/lr=1/step-5", "user/b", "."]
    here = tmp_path.name
    assert serve.named_checkpoints(given) == {"mine": "user/a", "step-5": given[1], "b": given[2], here: "."}


def test_the_token_of_a_file_counts_before_that_of_the_variable(tmp_path, monkeypatch):
    (tmp_path / "token").write_text(" of-the-file\n")
    monkeypatch.delenv(serve.TOKEN, raising=False)
    assert serve.token_of(None) is None and serve.token_of(tmp_path / "token") == "of-the-file"
    monkeypatch.setenv(serve.TOKEN, "of-the-variable")
    assert serve.token_of(None) == "of-the-variable" and serve.token_of(tmp_path / "token") == "of-the-file"


REFUSED = {
    "--host 0.0.0.0: others than this machine may reach it": ["--host", "0.0.0.0"],
    "--host : others": ["--host", "::"],
    "--host ::ffff:0.0.0.0: others": ["--host", "::ffff:0.0.0.0"],
    "--host 0: others": ["--host", "0"],
    "cannot be bound": ["--port", "TAKEN"],
    "--token-file no/such cannot be read": ["--token-file", "no/such"],
    "--token-file empty holds no token": ["--token-file", "empty"],
    "--token-file words holds no token": ["--token-file", "words"],
    "--instruction says nothing": ["--instruction", " "],
    "unnorm_key='other' is unknown; choices: demo_tabletop": ["--unnorm-key", "other"],
    "--observation-map no/such cannot be read": ["--observation-map", "no/such"],
    "has 3 images; policy sees 2 views": ["--observation-map", "three.yaml"],
    "--n-action-steps 9: a chunk of policy has 4 actions": ["--n-action-steps", "9"],
    "leave one of them out": ["--n-action-steps", "2", "--temporal-ensemble", "0.01"],
    "a model 'policy' is there already": ["policy=other"],
    "'act' cannot be the name of a model": ["act=other"],
    "no/such/checkpoint": ["other=no/such/checkpoint"],
    "--device nowhere cannot be used": ["--device", "nowhere"],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_served_is_refused_before_weights_are_read(message, folder_of, tmp_path, monkeypatch, capsys):
    checkpoint = f"policy={folder_of('cogvla')}"
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "words").write_text("two words, größer")
    (tmp_path / "three.yaml").write_text("images: [a, b, c]\nstate: s\n")
    monkeypatch.setattr("vlahub.conversion.serving.robot_policy.load_model", None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        options = [str(taken.getsockname()[1]) if word == "TAKEN" else word for word in REFUSED[message]]
        port = [] if "--port" in options else ["--port", "0"]
        assert main(["serve", checkpoint, *options, *port]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 1
    assert message.replace("--host : ", "--host ::: ") in printed.err


def test_a_start_that_fails_leaves_nothing_half_open(folder_of, tmp_path, monkeypatch, capsys):
    first, second = folder_of("cogvla"), tmp_path / "second"
    shutil.copytree(first, second)
    with (second / "model.safetensors").open("r+b") as file:
        file.truncate(1000)

    def left():
        return [thread for thread in threading.enumerate() if thread.name == "vlahub predictions"]

    before = left()
    words = ["--port", "0", f"first={first}"]
    assert main(["serve", *words, f"second={second}"]) == 1  # which is read when the first has its weights
    monkeypatch.setattr(RobotPolicy, "predicted", lambda self, requests: 1 / 0)
    assert main(["serve", *words]) == 1  # at the first prediction
    printed = capsys.readouterr()
    assert "serving" not in printed.out and "division" in printed.err
    for thread in set(left()) - set(before):
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def no_server(monkeypatch):
    """What a run of the command does with a service that predicts nothing, and a server that ends at once."""
    done = []
    service = SimpleNamespace(models={"a": None, "b": None}, warm_up=lambda: {"a": 0.5, "b": 2.0})
    service.is_predicting, service.close = lambda: False, lambda seconds: done.append(("closed", seconds))
    monkeypatch.setattr(serve, "loaded", lambda *given: service)
    monkeypatch.setattr(server, "run_server", lambda service, bound, token, ready: done.append(token) or ready())
    service.done = done
    return service


def test_a_server_says_what_it_serves_and_that_it_stopped_and_a_quiet_one_nothing(no_server, tmp_path, capsys):
    (tmp_path / "token").write_text("secret")
    words = ["serve", "a", "b", "--port", "0", "--token-file", str(tmp_path / "token")]
    assert main(words) == 0
    first, second, served, stopped = capsys.readouterr().out.splitlines()
    assert (first, second) == tuple(
        f"{name}: the first prediction took {s} s" for name, s in (("a", "0.50"), ("b", "2.00"))
    )
    assert (
        re.fullmatch(r"serving a, b at http://127\.0\.0\.1:\d+ \(stop with Ctrl-C\)", served) and stopped == "stopped"
    )
    assert no_server.done == ["secret", ("closed", 0)]
    assert main([*words, "--quiet"]) == 0 and capsys.readouterr() == ("", "")


@pytest.mark.parametrize("place", ["warm_up", "run_server"])
def test_a_server_that_fails_is_closed_and_does_not_say_that_it_stopped(place, no_server, monkeypatch, capsys):
    owner = no_server if place == "warm_up" else server
    monkeypatch.setattr(owner, place, lambda *given, **named: 1 / 0)
    assert main(["serve", "a", "--port", "0"]) == 1
    said = capsys.readouterr()
    assert no_server.done == [("closed", 0)] and "stopped" not in said.out and "division" in said.err


def test_a_prediction_that_goes_on_is_left_with_the_process(no_server, monkeypatch, capsys):
    """Its thread cannot be ended: without `_exit` torch would abort the process."""
    no_server.is_predicting, ended = lambda: True, []
    monkeypatch.setattr(serve.os, "_exit", ended.append)
    assert main(["serve", "a", "--port", "0"]) == 0
    assert ended == [0] and capsys.readouterr().out.endswith("stopped\n")


@pytest.mark.parametrize(("steps", "most", "fits"), [(1, 4, True), (4, 4, True), (5, 4, False), (1, None, False)])
def test_as_many_actions_of_a_chunk_are_executed_as_it_has_at_most(steps, most, fits):
    policy = SimpleNamespace(has_actions=True, num_action_chunks=most, check_unnorm_key=lambda key: None)
    given = argparse.Namespace(n_action_steps=steps, temporal_ensemble=None, instruction=None, unnorm_key=None)
    with (
        contextlib.nullcontext() if fits else pytest.raises(InputError, match=f"--n-action-steps {steps}: a chunk of m")
    ):
        serve.check_options(policy, "m", given, None)


def test_the_token_of_the_variable_is_checked_as_that_of_a_file(monkeypatch, capsys, folder_of):
    monkeypatch.setenv("VLAHUB_SERVE_TOKEN", "two words")
    assert main(["serve", f"policy={folder_of('cogvla')}", "--port", "0"]) == 1
    assert "VLAHUB_SERVE_TOKEN holds no token: one line of ASCII" in capsys.readouterr().err


def test_a_port_that_another_server_took_meanwhile_is_named():
    first, second = bound_socket("127.0.0.1", 0, None), None
    with first:
        second = bound_socket("127.0.0.1", first.getsockname()[1], None)  # none of them listens yet
        with second, pytest.raises(ConversionError, match=r"--port \d+ cannot be bound: .* choose another"):
            listen(first)
            listen(second)


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch, capsys):
    monkeypatch.setattr("vlahub.conversion.commands.serve.NEEDED", ("numpy", "no_such_package"))
    assert main(["serve", "x"]) == 1
    assert "needs no_such_package: pip install 'vlahub[serve]'" in capsys.readouterr().err


@contextlib.contextmanager
def serving(*words, python=("-m", "vlahub")):
    """A process of the command, and the port that it prints."""
    call = [sys.executable, *python, "serve", *map(str, words), "--port", "0"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert "the first prediction took" in process.stdout.readline()
            yield process, re.match(r"serving policy at http://[^:]*:(\d+) ", process.stdout.readline())[1]
        finally:
            process.kill()


def came(port):
    """Requests that are answered, or wait for the model."""
    headers = {"authorization": "Bearer secret"}  # where one is asked for
    text = requests.get(f"http://127.0.0.1:{port}/metrics", headers=headers, timeout=60).text
    counts = re.findall(r"^vlahub_(?:requests_total|queue_length)\{.*\} (\S+)$", text, re.MULTILINE)
    return sum(map(float, counts))


def ended(process):
    """Whether it ended by itself and without a word about it; other libraries warn there."""
    assert process.wait(200) == 0
    said = process.stderr.read()
    return process.stdout.read() == "stopped\n" and "error: " not in said and "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_served_checkpoint_answers_both_protocols_and_at_a_signal_what_was_asked(number, folder_of, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    words = [f"policy={folder_of('cogvla')}", "--token-file", tmp_path / "token", "--host", "0.0.0.0"]
    given, found = observation(), []
    state = np.array(given["state"])
    with serving(*words, "--batch-window", "1000") as (process, port):

        def ask():
            fields = {"images": given["images"], "instruction": given["instruction"], "state": state}
            headers = {"authorization": "Bearer secret"}
            url = f"http://127.0.0.1:{port}/act"
            found.append(requests.post(url, data=json_numpy.dumps(fields), headers=headers, timeout=60))

        views = dict(zip(("observation/image", "observation/wrist_image"), given["images"], strict=True))
        frame = packed({**views, "observation/state": state, "prompt": given["instruction"]})
        headers = {"Authorization": "Api-Key secret"}
        with websockets.sync.client.connect(f"ws://127.0.0.1:{port}", additional_headers=headers) as connection:
            assert unpacked_map(connection.recv(60))["model"] == "policy"
            connection.send(frame)
            first = unpacked_map(connection.recv(60))["actions"]
            connection.send(frame)
            asking = threading.Thread(target=ask)
            asking.start()
            while came(port) < 3:  # the last two wait in the queue then, for others
                asking.join(0.02)
            process.send_signal(number)
            asking.join(60)
            again = unpacked_map(connection.recv(60))["actions"]
        actions = found[0].json()["actions"]
        np.testing.assert_allclose(again, first, atol=1e-5)
        np.testing.assert_allclose(actions, first, atol=1e-5)
        assert ended(process)


@pytest.mark.slow
def test_a_signal_as_soon_as_the_server_says_that_it_serves_ends_it_as_any_other(folder_of):
    with serving(f"policy={folder_of('cogvla')}") as (process, _):
        process.send_signal(signal.SIGTERM)
        assert ended(process)


ENDLESS = """
import sys
import torch
from vlahub.conversion.cli import main
from vlahub.conversion.serving import server
from vlahub.conversion.serving.robot_policy import RobotPolicy

predicted = RobotPolicy.predicted

def endless(self, requests):
    print("predicting", flush=True)
    square = torch.zeros(2000, 2000)
    while True:
        square = square @ square

def first(self, requests):
    RobotPolicy.predicted = endless
    return predicted(self, requests)

RobotPolicy.predicted, server.STOP_SECONDS = first, 0.5
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("signals", [1, 2])
def test_a_prediction_that_does_not_end_does_not_keep_the_server(signals, folder_of):
    given, found = observation(), []
    words = [f"policy={folder_of('cogvla')}", "--timeout", "1" if signals == 1 else "60"]
    with serving(*words, python=("-c", ENDLESS)) as (process, port):

        def ask():
            found.append(requests.post(f"http://127.0.0.1:{port}/act", data=json_numpy.dumps(given), timeout=120))

        asking = threading.Thread(target=ask)
        asking.start()
        assert process.stdout.readline() == "predicting\n"
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            asking.join(0.2)
        asking.join(60)
        assert found[0].status_code == (504 if signals == 1 else 503)
        assert ended(process)
