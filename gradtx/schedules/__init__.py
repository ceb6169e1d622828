"""Schedules: functions of the step that are values, for any hyperparameter."""
