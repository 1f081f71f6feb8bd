"""Synthetic runs of known truth, judged by the real judge: how often each is passed and failed."""
