"""Protocols: the runs behind the tables and figures of the paper, and behind our own claims.

A module defines `PROTOCOLS`, a tuple of `keras_prokt.runs.protocol.Protocol`.
"""

ORDER = (
    *(
        "digits-first-look",
        "digits-tuning",
        "digits-second-tuning",
        "digits-third-tuning",
        "digits-fourth-tuning",
        "digits-choice",
        "digits-long",
        "sst2-full",
        "cifar-60",
    ),
    *("texts-tuning", "mrpc-full", "sst2-20k", "digits-wrong-labels-first-look"),
    *("digits-wrong-labels-tuning", "digits-wrong-labels", "sst2-wrong-labels"),
    *("figure-2-digits", "figure-3-digits", "figure-2", "figure-3-images", "figure-3-texts"),
    *("table-1", "table-2", "table-3"),
)
"""What is worth most is carried out first."""
