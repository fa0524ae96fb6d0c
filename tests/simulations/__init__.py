"""Models on which decisions are tried, without processes and in no time."""
