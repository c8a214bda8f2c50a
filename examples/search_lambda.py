"""A search for λ on validation data, with its picture; about a minute on two cores.

A notebook as a script: each `# %%` begins a cell. It writes into the folder `search_lambda`, and
goes on there where it was stopped. On the command line it is

    keras-prokt search --lambda 0,0.3,0.6 --epochs 20 --seeds 0-1 --jobs 2 --out search_lambda
"""

# %% Values of λ, everything else as the app has it; a run for every value and seed, two at a time.
from keras_prokt.runs import search

over = {"proximal_weight": [0.0, 0.3, 0.6]}
found, _ = search("digits", "prokt", over, "search_lambda", seeds=range(2), jobs=2, epochs=20)

# %% What was chosen on validation. Test data was measured after the choice, for it alone.
for row in found["configurations"]:
    accuracies = [f"{run['student']:.3f}" for run in row["runs"]]
    print(f"{row['title']:11} validation {', '.join(accuracies)}")
print("chosen:", found["chosen"])
print("the picture: search_lambda/search.png")
