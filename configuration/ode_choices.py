"""How a flow is followed from noise to actions: the solvers and spacings that configs and calls name."""

# Evaluations of the velocity in one step, which is what a step costs.
ODE_SOLVERS = {"euler": 1, "midpoint": 2, "heun": 2}
ODE_SPACINGS = ("uniform", "cosine")
ODE_CHOICES = {"ode_solver": tuple(ODE_SOLVERS), "ode_spacing": ODE_SPACINGS}  # of `check_choices`
