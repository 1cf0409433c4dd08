"""The demo: a server of its own, and the main job played through its HTTP API and told as a story."""
