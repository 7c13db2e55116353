"""`vlahub serve` as a command: what it refuses before it loads a weight, and how it stops."""

import signal
import socket
import subprocess
import sys
import threading

import json_numpy
import numpy as np
import pytest
import requests
from served_observations import observation

from vlahub.conversion.cli import main
from vlahub.conversion.serving.server import bound_socket, listen
from vlahub.errors import ConversionError

REFUSED = {
    "--host 0.0.0.0: others than this machine may reach it": ["--host", "0.0.0.0"],
    "--host : others": ["--host", "::"],
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


def test_the_token_of_the_variable_is_checked_as_that_of_a_file(monkeypatch, capsys, folder_of):
    monkeypatch.setenv("VLAHUB_SERVE_TOKEN", "two words")
    assert main(["serve", f"policy={folder_of('cogvla')}", "--port", "0"]) == 1
    assert "VLAHUB_SERVE_TOKEN holds no token: one line of ASCII" in capsys.readouterr().err


def test_a_port_that_another_server_took_meanwhile_is_named():
    first, second = bound_socket("127.0.0.1", 0, None), None
    with first:
        second = bound_socket("127.0.0.1", first.getsockname()[1], None)  # none of them listens yet
        with second, pytest.raises(ConversionError, match=r"--port \d+ cannot be bound: .* choose another port"):
            listen(first)
            listen(second)


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch, capsys):
    monkeypatch.setattr("vlahub.conversion.commands.serve.NEEDED", ("numpy", "no_such_package"))
    assert main(["serve", "x"]) == 1
    assert "needs no_such_package: pip install 'vlahub[serve]'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_served_checkpoint_answers_until_a_signal_and_what_is_asked_then_is_answered(number, folder_of, tmp_path):
    token = tmp_path / "token"
    token.write_text("secret\n")
    words = ["serve", f"policy={folder_of('cogvla')}", "--port", "0", "--token-file", str(token), "--host", "0.0.0.0"]
    words += ["--batch-window", "1000"]
    call = [sys.executable, "-m", "vlahub", *words]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(2)]
            assert "the first prediction took" in lines[0] and "serving policy at http://0.0.0.0:" in lines[1]
            url = "http://127.0.0.1:" + lines[1].split(":")[2].split()[0] + "/act"
            found = []

            def ask():
                body = json_numpy.dumps({"images": observation()["images"], **fields})
                found.append(requests.post(url, data=body, headers={"authorization": "Bearer secret"}, timeout=60))

            fields = {name: observation()[name] for name in ("instruction", "state")}
            asking = threading.Thread(target=ask)
            asking.start()
            asking.join(0.4)  # it waits in the queue then, for others
            process.send_signal(number)
            asking.join(60)
            assert np.shape(found[0].json()["actions"]) == (4, 7)
            assert process.wait(60) == 0
            said = process.stderr.read()  # other libraries warn there
            assert process.stdout.read() == "stopped\n" and "error: " not in said and "Traceback" not in said
        finally:
            process.kill()
