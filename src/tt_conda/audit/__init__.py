"""Judge an environment: its libraries, their owners, and the files a process really maps. Builds and changes
nothing."""
