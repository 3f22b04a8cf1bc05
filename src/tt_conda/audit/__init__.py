"""An environment gets a verdict: what is there, who owns it, what a process really maps. Builds and changes nothing."""
