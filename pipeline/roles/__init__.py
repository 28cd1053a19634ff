"""The roles of a process: which stages run in it. One process with all of them is the default."""
