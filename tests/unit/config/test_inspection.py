"""What a child has found out about a consumer, on its way to `check`."""

import json
from dataclasses import asdict

import msgspec

from consumerd.config.inspection import Inspection
from consumerd.config.problems import Problem


def test_an_inspection_is_the_same_on_both_ends() -> None:
    problem = Problem("f", ("g", 0, "configs"), "is wrong", "Traceback …")
    found = Inspection((problem,), "kafka", ("a remark",), ({"shard": 0, "tasks": 3},), "it is away")
    assert msgspec.convert(json.loads(json.dumps({**asdict(found), "last": True})), Inspection) == found
