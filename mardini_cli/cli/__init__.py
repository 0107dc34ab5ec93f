"""Words to a request, events to a screen.

Room: cli (floor 8). The only room that prints and exits. Imports nothing slow at the top: torch,
numpy and av come in only inside a command, so that ``--help`` stays quick.
"""
