"""Tables, plots, subtitles and cards."""
