"""Bulk runs: thousands of paid jobs with nothing lost and nothing paid twice."""
