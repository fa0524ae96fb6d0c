"""What runs: the settings of the post, in its shape, with its names and keys."""

from __future__ import annotations

import os
from typing import Any

BROKERS = os.environ.get("GOP_BROKERS", "broker-1:9092,broker-2:9092,broker-3:9092")

FRESH_RETRY_THRESHOLD = 100
"""How many fresh events one query takes at most."""

Setting = dict[str, list[dict[str, Any]]]  # configs hold any plain value

KAFKA_SERVER_SETTING: Setting = {
    "gop_consumer": [
        {
            "module": "gop_consumer.consumers.login_consumer",
            "class": "LoginConsumer",
            "configs": {
                "workers": 16,
                "brokers": BROKERS,
                "process_name": "gop_consumer",
                "topic_name": "login_task",
                "consumer_group": "login_consumer",
            },
        }
    ]
}

APP_EVENT_SETTING: Setting = {
    "gop_app_events": [
        {
            "name": f"app-{app_id}",
            "module": "gop_consumer.consumers.app_event_consumer",
            "class": "AppEventDBConsumer",
            "configs": {"workers": 2, "process_name": f"gop_app_event_{app_id}", "app_id": app_id},
        }
        for app_id in (100067, 100068, 100069)
    ]
}
