"""What options of the command line accept, without the modules that define it, which are slow to import."""

CARDS = ("keep", "renew")
DTYPES = ("auto", "float32", "bfloat16", "float16")
