#!/bin/bash
# Runs a command as the tasks of this job. What stops for the signal before the time limit (status
# 128 + SIGUSR1) is queued again and goes on where it was; after preemption Slurm does that itself.
# The tasks that are left when the first one fails get two minutes, to finish a checkpoint.
srun --kill-on-bad-exit=0 --wait=120 "${PYTHON:-.venv/bin/python}" "$@"
status=$?
if [ "$status" -eq 138 ]; then
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
