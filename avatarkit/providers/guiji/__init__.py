"""Guiji (硅基智能, Silicon Intelligence): the Digital Human Open Platform at ``meta.guiji.ai``."""
