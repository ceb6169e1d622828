"""`python -m gradtx studio`: one offline page that shows optimizers at work on error surfaces."""
