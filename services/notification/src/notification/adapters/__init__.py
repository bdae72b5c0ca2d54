"""Each channel and peer by its technology; a memory one beside each for tests and simulators."""
