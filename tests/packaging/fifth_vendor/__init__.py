"""The smallest provider that works: one way to a video, from a picture and a recording, both behind URLs."""
