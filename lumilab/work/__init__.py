"""How work gets done: progress a person can follow, stopping cleanly, and one worker at a time per folder."""
