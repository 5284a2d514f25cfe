"""Kling AI (可灵): a picture that speaks a recording, speech, and lip-sync of Kling's own videos."""
