"""A server in a thread of this process, and a policy that waits until it may answer."""

import re
import threading
from types import SimpleNamespace

import numpy as np
import requests

from vlahub.conversion.serving.action_sessions import ActionSessions
from vlahub.conversion.serving.prediction_service import Batching, PredictionService
from vlahub.conversion.serving.server import address_of, bound_socket, make_server

WAIT = 60


class Running:
    """A server in a thread of this process."""

    def __init__(self, service, token=None):
        self.service, self.token = service, token
        self.socket = bound_socket("127.0.0.1", 0, token)
        self.url = address_of(self.socket)
        self.server = make_server(service, token)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            threading.Event().wait(0.01)

    def stop(self):
        self.server.should_exit = True
        self.thread.join(WAIT)
        assert not self.thread.is_alive()
        self.service.close(WAIT)

    @property
    def metrics(self):
        found = requests.get(self.url + "/metrics", timeout=WAIT).text
        return {name: float(value) for name, value in re.findall(r"^(\w+\{.*\}) (\S+)$", found, re.MULTILINE)}


class GatedPolicy:
    """Answers the state of a request, in a chunk of two, when `gate` is open. asked: states of each batch so far."""

    has_actions, is_fast, view_names = True, False, ["front"]
    num_views, state_dim, num_action_chunks = 1, 1, 2

    def __init__(self):
        self.gate, self.entered, self.asked = threading.Event(), threading.Semaphore(0), []

    def facts(self):
        return {"state_dim": 1}

    def blank(self):
        return {}

    def prepared(self, observation):
        state = float(np.reshape(observation["state"], 1)[0])
        return SimpleNamespace(state=state, group=None, task=observation["instruction"], far=())

    def predicted(self, requests):
        self.asked.append([request.state for request in requests])
        self.entered.release()
        assert self.gate.wait(WAIT)
        return [np.full((2, 1), request.state, np.float32) for request in requests]


def gated(limits=None, waiting=64, count=1, **options):
    """A running server of gated policies, `m`, `m1`, ..., and they. options: of the sessions."""
    service = PredictionService(**({} if limits is None else {"limits": limits}))
    policies = [GatedPolicy() for _ in range(count)]
    for i, policy in enumerate(policies):
        sessions = ActionSessions(**options)
        service.add(f"m{i or ''}", policy, Batching(window=0, waiting=waiting), sessions)
    return Running(service), *policies


def scene(state, **more):
    """What a gated policy is asked, in the plain form."""
    return {"images": {}, "state": [state], "instruction": "wait", **more}
