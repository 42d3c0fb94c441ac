#!/bin/bash
# Runs a command as the tasks of this job. What stops for a signal, before the time limit (status 128
# + SIGUSR1) or in the time of grace before a preemption (128 + SIGTERM), is queued again and goes on
# where it was; Slurm does that itself only for a job that it had to kill.
# The tasks that are left when the first one fails get two minutes, to finish a checkpoint.
srun --kill-on-bad-exit=0 --wait=120 "${PYTHON:-.venv/bin/python}" "$@"
status=$?
is_running() { [ "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T)" = RUNNING ]; }
if { [ "$status" -eq 138 ] || [ "$status" -eq 143 ]; } && is_running; then  # and not cancelled
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
