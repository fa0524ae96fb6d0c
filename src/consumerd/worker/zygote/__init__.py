"""The zygote, executed as `python -m consumerd.worker.zygote`: imports a consumer's code once, forks its workers."""
