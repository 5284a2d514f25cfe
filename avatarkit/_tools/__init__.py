"""Programs for those who work on avatarkit; nothing in here is imported by the package itself."""
