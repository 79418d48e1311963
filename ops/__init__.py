"""Around the row's path: the `aegis` command, which starts, inspects and explains all the other rooms."""
