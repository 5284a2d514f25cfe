"""YunApi (数字人): five stacked APIs under one key at ``api.yunai.xyz``."""
