"""How the embedded prior was made: not in the wheel, so that what users install holds no training."""
