"""Figures about the game days: crashes, the timeline's accuracy, the cost of an experiment."""
