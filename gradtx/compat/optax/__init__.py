"""For users of optax: its names for gradtx's transformations, what differs, and `to_optax`, for optax's own type.

    >>> import gradtx.compat.optax as optax
    >>> tx = optax.chain(optax.clip(1.0), optax.trace(0.9), optax.scale_by_schedule(lambda step: -0.1))

optax's names of transformations, schedules, tree functions and states are here, with its arguments, order and defaults;
optax need not be installed. These functions make gradtx's values, and the values keep optax's protocol. `update` gives
each extra argument to the members that need it, and drops those that no member knows. Updates have the dtype of the
gradients, or that of the parameters if it is wider. Losses and other functions that are not about transformations are
optax's own; they need optax. In a checkout, `python -m tests.clients.optax_own_tests` runs optax's own tests against
this module and lists each that fails.

gradtx's own transformations, as `gradtx.adam`, have `init` and `update` as optax's. The only difference in use is that
an extra argument that no member knows is an error. optax transformations work inside `gradtx.chain`, and gradtx
transformations inside `optax.chain`. The figures are for optax 0.2.8.

**Differences**

Two equal calls
    gradtx: are equal, hash alike, pickle, and print as the call; as static arguments of jit they share one trace.
    optax: are different, trace again, and do not pickle.
A new learning rate
    gradtx: is a leaf of the value: no new trace, `vmap` over the factory, `grad` with respect to it.
    optax: is hidden in a closure: a new trace, or `inject_hyperparams`.
A schedule
    gradtx: fits any hyperparameter that each update uses; `hyperparameters(state)` reads the value in use.
    optax: fits the learning rate and a few others.
The state of a chain
    gradtx: is a dict of the members that have state, `state["scale_by_adam"]`; `state[0]` is a KeyError.
    optax: is a tuple of all, `state[0]`.
A clip put in front of Adam
    gradtx: leaves Adam's entry in the state where it was.
    optax: moves it.
bfloat16 parameters, float32 gradients
    gradtx: the state is float32 and keeps its dtypes, so `lax.scan` accepts it.
    optax: the state changes its dtype in the first update.
A gradient that does not fit its parameter
    gradtx: is an error that names the leaf: `gradient at layers/0/w has shape (3,), the parameter (3, 1)`.
    optax: is broadcast.
A misspelt extra argument
    gradtx: is an error. Only `value`, `grad` and `value_fn` are always accepted, since other libraries pass them.
    optax: is ignored.
Integer leaves
    gradtx: are left alone; a real-valued update for one is an error.
    optax: receive the update, and the sum is truncated to an integer.
Adam in float32 over 1,000 steps
    gradtx: is within 30 ulp of exact arithmetic.
    optax: is more than 100 ulp away, on the same gradients.
A gradient of 1e25
    gradtx: is cut where its square would overflow. The entry stands still until the square is forgotten, some 80,000
    steps with b2 = 0.999, and then moves again. A clip in front prevents that.
    optax: makes the second moment infinite, so that this entry never moves again.
AdaDelta without arguments
    gradtx: descends.
    optax: ascends.
The first step of Rprop
    gradtx: moves the parameters.
    optax: does not; all steps are one late.
AMSGrad
    gradtx: takes the maximum of the corrected second moment, or of the raw one as torch does.
    optax: takes that of the corrected one.
SuperSAB, dampened momentum
    gradtx: has them.
    optax: does not.
A mask that asks for dtypes
    gradtx: sees the parameters.
    optax: sees the gradients, so that bfloat16 gradients change the result.
A label that no leaf has
    gradtx: is an error.
    optax: is not noticed.
A frozen leaf
    gradtx: has no state, does not count in norms, and keeps every bit.
    optax: has state under `freeze`, and counts in norms.
One NaN while gradients accumulate
    gradtx: is gone after its step; under `skip_nonfinite` it leaves no trace.
    optax: stays forever.
An update that overflows
    gradtx: is skipped by `skip_nonfinite`.
    optax: passes `apply_if_finite`, which looks at the gradients.
Two schedules
    gradtx: can be added and multiplied.
    optax: cannot.

**These names and optax's own**

* The state of a chain is a tuple, as in optax, and nested chains are nested tuples: `state[0].mu`. An update also takes
  gradtx's dict, and then returns one. The states of pieces are gradtx's, also under optax's names: an `EmaState` has
  `mu`, not `ema`, and counts are where gradtx has them. The states of GaLore and `mechanize` have other fields. A piece
  with a schedule has one level more. A leaf that a mask leaves out is None, not a `MaskedNode`. The states of
  `MultiSteps` and `inject_hyperparams`, of `masked`, `partition`, `apply_if_finite`, `conditionally_mask` and
  `conditionally_transform` have optax's fields; what is inside is `inner` in the last three. `acc_grads` is a sum, and
  stays until the next gradient.
* The state of `named_chain` has only the members that have state, and nested chains are dicts in it.
* Adan weighs the differences by b2, where optax has 1 - b2. `mechanize` has its authors' initial values, so that its
  first rate is 100 times optax's, and no clip. GaLore takes directions of the shorter side, where optax takes those of
  the longer, and its `scale` is for all leaves.
* A label that no leaf has is not noticed.
* A value prints as gradtx's call behind `compat.optax.`, which may differ from yours. `gradtx.parse` and `to_dict`
  refuse it, since no text can say optax's protocol: pickle it, or keep the Python code.
* `mu_dtype`, `accumulator_dtype` and `state_dtype` say how a field is kept between steps; without them it is float32 or
  wider, also for half-precision parameters. Hyperparameters in a state are float32 or wider too.
* An argument that has no meaning here is an error that says what to do: `adapt_lower_bound`, `safeguard_warmup`, a
  `hessian_diagonal_fn` that is not Hutchinson's, b2 of SM3. These are errors too: numbers out of range, None where the
  other tree has an array, the state of another transformation, and with `value_fn` an extra argument that it does not
  have. Integer parameters never change. Under `inject_hyperparams`, numbers that decide what is built must be in
  `static_args`, as `min_dim_size_to_factor` of `adafactor`.
* AdaDelta with a learning rate of None has the rate 1. `polyak_sgd` never goes uphill, and a failed line search takes
  the lowest value that it saw; `verbose` prints one line then. L-BFGS leaves out pairs of negative curvature. `freeze`
  gives frozen leaves -0, which keeps every bit. GaLore's basis is one of the columns of a leaf, or of the matrix that
  dimension numbers make of the leaf. `split_real_and_imaginary` keeps one leaf, whose norm is that of both parts.

**Names of gradtx**

A name that both libraries have means the same and takes the same arguments in the same order, with these exceptions.
`freeze(tx, frozen)` and `sam(tx, rho)` are wrappers here, and `sam` takes no second optimizer. The transformation
inside a wrapper is called `inner`; `partition` calls its `param_labels` `labels`. No transformation has `mu_dtype`,
`accumulator_dtype` or `state_dtype`: use `store(tx, gradtx.storage.bfloat16())`. So `weight_decay` comes one place
earlier in recipes; who gives None for `mu_dtype` gets an error. Line searches have no `verbose`: read `state.info`.
With a `peak_value` of 0, `warmup_cosine_decay_schedule` still goes to its end value. States have the fields of optax's,
but `mu` in `EmaState`, and a count where optax has it only for some arguments. Each entry of the catalog lists the
arguments that only optax has, as `optax_absent`. optax.contrib's `schedule_free_eval_params` is `eval_params`. If you
ask gradtx for a name that only optax has, such as `gradtx.MultiSteps`, the error says the name here.
`gradtx.catalog.ENTRIES` has, for each transformation and schedule, its names in optax, torch and Keras.

**Before you change over**

* Updates are float32 or wider, also for half-precision gradients. `apply_updates`, gradtx's or optax's, rounds once, to
  the dtype of the parameter. A plain sum `params + updates`, as in `equinox.apply_updates`, promotes bfloat16
  parameters; there, use `to_optax(tx, like_params=True)`. optax wrappers that choose between an update and a gradient,
  such as `apply_if_finite`, need one dtype for both: give them float32 gradients.
* When a number becomes a schedule, the state of its piece gains a level, with a count. If the piece had no state
  before, as `scale_by_learning_rate`, `{**tx.init(params), **old_state}` carries over the rest of the old chain's
  state. If it had one, put the old state inside: `new["scale_by_adam"]._replace(inner=old["scale_by_adam"])`. A plain
  function as a schedule compares by identity, and pickles only if it is defined at the top of a module.
* A training that runs goes on: `import_state(tx, optax_state, params)` makes the state of `tx` from that of the same
  chain in optax, and `export_state` goes back.
* `optax.chain` passes extra arguments such as `value=` only to its own type: use `to_optax(tx)` there. As optax's
  protocol asks, the result takes any extra argument, and drops those that `tx` does not know.
"""

import sys as _sys
from importlib import import_module as _import_module

from gradtx.compat.optax import elsewhere as _elsewhere
from gradtx.compat.optax.bridge import to_optax
from gradtx.compat.optax.foreign import from_optax
from gradtx.compat.optax.states import export_state, import_state
from gradtx.export import register_states as _register_states

__all__ = ["export_state", "from_optax", "import_state", "to_optax"]

for _name in _elsewhere.MODULES:  # so that they can be imported as modules too
    _sys.modules[f"{__name__}.{_name}"] = _elsewhere.OptaxModule(f"{__name__}.{_name}")

# The modules that make up optax's flat namespace. The first name that is asked for imports them all.
_FLAT = (
    "accumulation",
    "adams",
    "injection",
    "kinds",
    "fast_and_slow",
    "monitoring",
    "optimistic",
    "pieces",
    "recipes",
    "schedules",
    "searches",
    "softer",
    "updating",
    "which",
    "wrappers",
)
_SUBMODULES = ("contrib", "projections", "schedules", "second_order", "transforms", "tree", "tree_utils")


def _names() -> dict[str, object]:
    """optax's names: those of transformations, and the submodules."""
    found: dict[str, object] = {}
    for module in _FLAT:
        part = _import_module(f"{__name__}.{module}")
        found |= {name: getattr(part, name) for name in part.__all__}
    return found | {name: _import_module(f"{__name__}.{name}") for name in _SUBMODULES}


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    if "adam" not in globals():
        globals().update(_names())
        _register_states()  # those of these modules, which came after the others
        if name in globals():
            return globals()[name]
    return _elsewhere.of_optax(name, [*globals()])


def __dir__() -> list[str]:
    return sorted({*globals(), *_names()})
