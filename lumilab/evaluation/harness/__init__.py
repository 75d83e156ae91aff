"""Our models in lm-evaluation-harness, whose tasks and metrics are the field's own: this room adds none of its kind.

The harness asks for log-likelihoods and texts: `model.py` answers, and `remembering.py` asks it nothing twice. Tasks
come from the harness's registry, or from `tasks/` with data in local files: `find.py`, `local_data.py`.
"""
