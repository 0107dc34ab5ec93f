"""What is given and what is made, for each task; pure arithmetic on times."""
