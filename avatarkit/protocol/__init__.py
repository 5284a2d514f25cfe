"""The sans-I/O core: what to send and what an answer means. No sockets, no clock, no randomness in here."""
