"""Values: functions whose calls are kept, so that they can be compared, hashed, printed, pickled and flattened.

Transformations, schedules and estimators are such calls. Nothing here knows what they mean.
"""
