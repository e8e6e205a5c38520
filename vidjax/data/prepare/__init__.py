"""Write data sets as records that load fast (`vidjax prepare`)."""
