"""The verbs that a running master answers: one file a verb, with both its ends, the command's and the master's."""
