"""One file for each command: its options, its help with examples, and its use case. Heavy modules are imported late."""
