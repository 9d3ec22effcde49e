"""Training of the embedded prior; not in the wheel, so that users do not install training code."""
