"""Requests as published clients make them, read for a policy of which only the facts exist."""

import base64
import io
from types import SimpleNamespace

import json_numpy
from PIL import Image

from vlahub.conversion.serving.act_requests import read_act
from vlahub.conversion.serving.limits import Limits


def policy(view_names=None, num_views=2, state_dim=8):
    return SimpleNamespace(has_actions=True, view_names=view_names, num_views=num_views, state_dim=state_dim)


def file_of(array, kind="PNG"):
    """An image as the text of a file."""
    data = io.BytesIO()
    Image.fromarray(array).save(data, kind)
    return base64.b64encode(data.getvalue()).decode()


def act(fields, served=None, limits=None, by=None):
    """What is read of a request to `/act`."""
    body = json_numpy.dumps(fields).encode()
    return read_act(body, served or policy(), limits or Limits(), by)
