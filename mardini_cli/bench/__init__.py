"""How fast this machine makes frames: cells that are run, timed, counted and told.

Room: bench (floor 6). Prints nothing. Weights are random where a cell names a preset: their values
change no time.
"""
