"""Files to frames with exact times, and back: the only room that knows FFmpeg.

Room: media (floor 2).
"""
