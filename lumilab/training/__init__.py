"""Training: one loop, its objectives, optimizers and schedules, and what it saves."""
