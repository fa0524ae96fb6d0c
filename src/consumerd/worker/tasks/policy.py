"""Reads a consumer's retry policy from where users write it: its attributes, then its `configs`. Runs in workers."""

from __future__ import annotations

from consumerd.config.common_keys import CommonKeys
from consumerd.errors import ConfigurationError
from consumerd.model.retry import RetryPolicy


def retry_policy(consumer: object, common: CommonKeys) -> RetryPolicy:
    """The policy of this instance. Attributes that its `__init__` set count before `configs`, as in the seed."""
    return RetryPolicy(
        retry_times=int(_number(consumer, "task_retry_times", common.task_retry_times) or 0),
        basic_interval_s=_number(consumer, "RETRY_BASIC_INTERVAL", None) or 0.0,
        back_off_s=_number(consumer, "back_off_time", common.back_off_time) or None,
        max_back_off_s=_number(consumer, "max_back_off_time", common.max_back_off_time),
        expire_s=_number(consumer, "expire_time", common.expire_time),
    )


def _number(consumer: object, name: str, configured: float | None) -> float | None:
    value = getattr(consumer, name, None)
    if value is None:
        return configured
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise ConfigurationError(
            (f"{type(consumer).__name__}.{name} is {value!r}: make it a number of 0 or more, or leave it out",)
        )
    return float(value)
