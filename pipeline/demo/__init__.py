"""The demo: the main job told as a story, with real processes on loopback and nothing mocked."""
