"""What `vcap evaluate` needs from the disk and from Java: readers, tools, reports."""
