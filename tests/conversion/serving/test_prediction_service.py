"""What a service makes of an observation before it is predicted: whose word counts, and what is noted of it."""

import asyncio
import copy
import warnings
from types import SimpleNamespace

import pytest
import torch
from served_observations import ROBOTS, observation

from vlahub.conversion.serving.action_sessions import ActionSessions
from vlahub.conversion.serving.prediction_service import Batching, PredictionService
from vlahub.conversion.serving.refusals import RequestRefused, ServerBusy
from vlahub.conversion.serving.robot_policy import RobotPolicy
from vlahub.conversion.serving.server_metrics import Histogram


class Noting:
    """A policy that keeps the observations it is given."""

    has_actions, is_fast, view_names, num_views, state_dim, num_action_chunks = True, False, None, 1, 1, 2

    def __init__(self, is_fast=False):
        self.given, self.is_fast = [], is_fast

    def facts(self):
        return {"model_type": "noting", "state_dim": 1}

    def prepared(self, given):
        self.given.append(given)
        return SimpleNamespace(group=None, task=None, far=given.get("state", ()))


@pytest.fixture
def service():
    """Of one noting policy, `m`, with words for clients that send none."""
    made = PredictionService()
    made.add("m", Noting(), Batching(), ActionSessions(), unnorm_key="server's", instruction="wait")
    yield made
    made.close()


def noted(service, **given):
    asyncio.run(service.prepared(service.model("m"), given))
    return service.model("m").policy.given[-1]


def test_what_a_client_sends_counts_and_the_server_says_the_rest(service):
    assert noted(service) == {"unnorm_key": "server's", "instruction": "wait"}
    assert noted(service, instruction="lift") == {"unnorm_key": "server's", "instruction": "lift"}
    assert noted(service, unnorm_key="mine", instruction=None) == {"unnorm_key": "mine", "instruction": "wait"}


def test_facts_are_those_of_the_policy_with_the_words_that_clients_need_not_send(service):
    facts = service.model().facts()
    assert facts.pop("vlahub")
    assert facts == {
        "model": "m", "model_type": "noting", "state_dim": 1, "unnorm_key": "server's", "instruction": "wait",
    }  # fmt: skip


@pytest.mark.parametrize(("is_fast", "sizes"), [(False, (1, 2, 3, 4, 5)), (True, (1, 2, 4))])
def test_a_queue_is_as_its_batching_says_and_batches_are_of_sizes_that_are_recorded(is_fast, sizes, service):
    service.add("n", Noting(is_fast), Batching(window=0.25, size=5, waiting=3), ActionSessions())
    queue = service.model("n").queue
    assert (queue.window, queue.sizes, queue.max_waiting) == (0.25, sizes, 3)


def test_the_first_model_answers_where_none_is_named_and_a_name_that_none_has_is_refused(service):
    service.add("n", Noting(), Batching(), ActionSessions())
    assert (service.model().name, service.model("n").name) == ("m", "n")
    with pytest.raises(RequestRefused, match="no model 'o' here; served are m, n") as error:
        service.model("o")
    assert error.value.status == 404


def test_a_service_works_while_each_of_its_models_does_and_it_does_not_stop(service):
    service.add("n", Noting(), Batching(), ActionSessions())
    assert service.is_working() and not service.is_predicting()
    service.model("n").queue.is_predicting = True  # behind a close that did not wait
    assert service.is_predicting()
    service.model("n").queue.close(0)
    assert not service.is_working()
    del service.models["n"]
    assert service.is_working()
    service.is_stopping = True
    assert not service.is_working()


def test_as_many_requests_are_read_and_answered_as_may_wait_and_none_when_the_server_stops(service):
    service.add("n", Noting(), Batching(waiting=2), ActionSessions())
    model = service.model("n")
    for _ in range(2):  # whether it is answered or fails, its place is free again
        with pytest.raises(OSError, match="cut off"), service.place(model), service.place(model):
            with pytest.raises(ServerBusy, match="2 requests are being answered"), service.place(model):
                pass
            raise OSError("cut off")
    service.is_stopping = True
    with pytest.raises(RequestRefused, match="the server stops"), service.place(model):
        pass
    assert service.open == 0


def test_requests_of_a_group_are_predicted_together_whoever_sends_them_and_counted_as_a_batch():
    service, together = PredictionService(), []

    def predicted(requests):
        together.append([each.number for each in requests])
        return [each.number for each in requests]

    policy = Noting()
    policy.predicted = predicted
    service.add("m", policy, Batching(window=30.0, size=2, waiting=2), ActionSessions())

    async def ask():
        requests = [SimpleNamespace(group="same", number=number) for number in range(2)]
        return await asyncio.gather(*(service.predict(service.model(), each, str(each.number)) for each in requests))

    assert [answer.value for answer in asyncio.run(ask())] == [0, 1] and together == [[0, 1]]
    assert 'vlahub_batch_size_sum{model="m"} 2' in service.metrics.text({})
    service.model().sessions.session("one")
    assert service.gauges() == {"vlahub_queue_length": {"m": 0}, "vlahub_sessions": {"m": 1}}
    service.close(5)


@pytest.mark.parametrize(
    ("is_fast", "group", "sizes"), [(False, "one", [1]), (True, "one", [1, 2, 4]), (True, None, [1])]
)
def test_before_anybody_asks_all_sizes_are_predicted_that_will_be_recorded(is_fast, group, sizes):
    service, policy, predicted = PredictionService(), Noting(is_fast), []
    policy.blank = dict
    policy.prepared = lambda given: SimpleNamespace(group=group)
    policy.predicted = lambda requests: predicted.append(len(requests))
    service.add("m", policy, Batching(size=4), ActionSessions())
    assert list(service.warm_up()) == ["m"] and predicted == sizes
    service.close(5)


def test_an_end_waits_for_each_model_as_long_as_it_is_told(service, monkeypatch):
    service.add("n", Noting(), Batching(), ActionSessions())
    waited = []
    for name in ("m", "n"):
        monkeypatch.setattr(service.model(name).queue, "close", waited.append)
    service.close(0.5)
    monkeypatch.undo()
    assert waited == [0.5, 0.5]


def test_states_far_outside_are_counted_for_their_model(service):
    for state in ((3,), (), (3, 5)):
        noted(service, state=state)
    lines = [line for line in service.metrics.text({}).splitlines() if line.startswith("vlahub_far")]
    assert lines == [f'vlahub_far_states_total{{dimension="{i}",model="m"}} {n}' for i, n in ((3, 2), (5, 1))]


def test_a_bucket_holds_what_is_at_most_its_bound():
    """As Prometheus reads `le`."""
    counted = Histogram((1, 2, 4))
    for size in (1, 2, 2, 3, 5):
        counted.add(size)
    found = [line.split(" ") for line in counted.lines("n", ())]
    assert [value for _, value in found] == ["1", "3", "4", "5", "13.0", "5"]
    assert [name for name, _ in found][:4] == [f'n_bucket{{le="{bound}"}}' for bound in (1, 2, 4, "+Inf")]


@pytest.fixture(params=ROBOTS)
def two_datasets(request, policy_of):
    """A policy with two datasets: `near`, and `other`, for which the states of the first are far outside."""
    policy = policy_of(request.param)
    config, processor = copy.deepcopy(policy.config), copy.deepcopy(policy.processor)
    near = next(iter(config.norm_stats.values()))
    other = copy.deepcopy(near)
    for part in set(processor.state_parts) & set(other):
        for name in {"min", "q01", "mean", "q99", "max"} & set(other[part]):
            other[part][name] = [value + 1e4 for value in other[part][name]]
    config.norm_stats = processor.norm_stats = {"near": near, "other": other}
    return RobotPolicy(policy.folder, processor, config)


def test_a_state_is_far_outside_of_the_statistics_that_are_asked_for(two_datasets):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        far = {key: two_datasets.prepared(observation(unnorm_key=key)).far for key in ("near", "other")}
    assert far == {"near": (), "other": tuple(range(8))}


def test_actions_of_a_session_are_for_one_text_dataset_advantage_and_body(two_datasets, monkeypatch):
    config = SimpleNamespace(norm_stats=two_datasets.config.norm_stats, num_embodiments=3)
    inputs = {"input_ids": [[0]], "embodiment_id": torch.tensor([0])}
    monkeypatch.setattr(two_datasets, "config", config)
    monkeypatch.setattr(two_datasets, "read", lambda observation: inputs)

    def task(**given):
        usual = {"unnorm_key": "near", "instruction": "lift", "advantage": "good", "embodiment_id": 1, "seed": 0}
        return two_datasets.prepared(observation(**usual | given)).task

    changes = {"unnorm_key": "other", "instruction": "put", "advantage": "bad", "embodiment_id": 2}
    assert len({task(), *(task(**{name: value}) for name, value in changes.items())}) == 5
    assert task(images=observation(1)["images"], seed=1) == task()
