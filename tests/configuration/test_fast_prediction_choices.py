"""What `enable_fast_prediction` is given: a mode or options, each of which has a value that can be."""

import inspect
import re

import pytest

from vlahub.configuration.fast_prediction_choices import FAST_PREDICTION_DEFAULTS, checked_fast_prediction
from vlahub.errors import ConfigError
from vlahub.modeling.strict_loading import StrictPreTrainedModel

FITS = [
    {},
    {"mode": "compile"},
    {"max_batch_size": None},
    {"max_graphs": 1, "max_batch_size": 1, "length_bucket": 1, "fuse_projections": False},
    FAST_PREDICTION_DEFAULTS,
]
REFUSED = [
    (None, "fast_prediction=None must be a mode, 'graphs' or 'compile', or a mapping"),
    (3, "fast_prediction=3 must be a mode"),
    ("faster", "mode='faster' is unknown; choose 'graphs' or 'compile'"),
    ({"mode": None}, "mode=None is unknown"),
    ({"graphs": 3, "bucket": 1}, "does not know bucket, graphs; its options are mode, max_graphs, max_batch_size,"),
    ({"fuse_projections": 1}, "fuse_projections=1 must be true or false"),
    *(
        ({name: value}, f"{name}={value!r} must be a whole number above 0")
        for name in ("max_graphs", "max_batch_size", "length_bucket")
        for value in (0, -1, 1.0, True, "8", None)
        if (name, value) != ("max_batch_size", None)
    ),
]


@pytest.mark.parametrize("given", FITS, ids=str)
def test_options_that_can_be_pass_as_they_are(given):
    found = checked_fast_prediction(given)
    assert found == given and found is not given


def test_a_mode_alone_is_an_option():
    assert checked_fast_prediction("compile") == {"mode": "compile"}


@pytest.mark.parametrize(("given", "said"), REFUSED, ids=[str(given) for given, _ in REFUSED])
def test_options_that_cannot_be_are_refused_by_name(given, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        checked_fast_prediction(given)


def test_defaults_are_those_of_the_method():
    parameters = inspect.signature(StrictPreTrainedModel.enable_fast_prediction).parameters
    assert {name: one.default for name, one in parameters.items() if name != "self"} == FAST_PREDICTION_DEFAULTS
