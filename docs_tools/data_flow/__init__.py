"""Pictures of a prediction's data flow, with the sizes that the models themselves have.

    python -m docs_tools.data_flow            # writes docs/families/*.svg

Each model is made at its published size on the meta device, which holds shapes and no numbers, and predicts; what goes
into and comes out of its parts is written into a drawing whose boxes and arrows are laid by hand.
"""
