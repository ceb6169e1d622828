"""The demonstration behind `python -m gradtx`: many optimizers and rates on the handwritten digits of scikit-learn."""
