select n.*, 1 as one from marts.named n
