"""What consumerd's own tests use, shipped to users: a manual clock, fakes, contract suites."""
