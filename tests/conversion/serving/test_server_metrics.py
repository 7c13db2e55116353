"""What a server counts, line by line as Prometheus reads it."""

from vlahub.conversion.serving.server_metrics import SECONDS, SIZES, ServerMetrics


def test_every_count_stands_under_its_own_labels_and_kind():
    metrics = ServerMetrics()
    metrics.add_request("m", "openvla", 200, 0.02)
    metrics.add_request("m", "openvla", 200, 0.3)
    metrics.add_request("m", "openvla", 503, 40.0)
    metrics.add_request('a "b"\\c\n', "openpi", 400, 0.005)
    for size in (3, 3, 8):
        metrics.add_batch("m", size)
    for dimensions in ((1, 4), (4,)):
        metrics.add_far("m", dimensions)
    lines = metrics.text({"vlahub_queue_length": {"m": 2, "n": 0}}).splitlines()
    kinds = dict(line.split(" ")[2:] for line in lines if line.startswith("# TYPE"))
    assert kinds == {
        "vlahub_requests_total": "counter",
        "vlahub_far_states_total": "counter",
        "vlahub_request_seconds": "histogram",
        "vlahub_batch_size": "histogram",
        "vlahub_queue_length": "gauge",
    }
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    of, other = 'model="m",protocol="openvla"', r'model="a \"b\"\\c\n",protocol="openpi"'
    counted = {
        f'vlahub_requests_total{{{of},status="200"}}': "2",
        f'vlahub_requests_total{{{of},status="503"}}': "1",
        f'vlahub_requests_total{{{other},status="400"}}': "1",
        'vlahub_far_states_total{dimension="1",model="m"}': "1",
        'vlahub_far_states_total{dimension="4",model="m"}': "2",
        'vlahub_queue_length{model="m"}': "2",
        'vlahub_queue_length{model="n"}': "0",
        'vlahub_batch_size_sum{model="m"}': "14.0",
        'vlahub_batch_size_count{model="m"}': "3",
    }
    for labels, values in {of: (0.02, 0.3, 40.0), other: (0.005,)}.items():
        counted[f"vlahub_request_seconds_sum{{{labels}}}"] = str(sum(values))
        counted[f"vlahub_request_seconds_count{{{labels}}}"] = str(len(values))
        for bound in (*SECONDS, float("inf")):
            name = "+Inf" if bound == float("inf") else bound
            below = sum(value <= bound for value in values)
            counted[f'vlahub_request_seconds_bucket{{{labels},le="{name}"}}'] = str(below)
    for bound, below in zip((*SIZES, "+Inf"), (0, 0, 2, 3, 3, 3, 3), strict=True):
        counted[f'vlahub_batch_size_bucket{{model="m",le="{bound}"}}'] = str(below)
    assert found == counted
