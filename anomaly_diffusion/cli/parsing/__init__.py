"""From the words of a command line and config files to settings, and on to trainer, data and detector."""
