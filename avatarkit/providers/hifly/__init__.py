"""HiFly (飞影数字人, Flyworks): API V2 at ``hfw-api.hifly.cc``."""
