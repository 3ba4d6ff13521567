"""Training and evaluation: stories, books, curricula, measurements. Not needed to serve a model."""
