"""Keras' optimizers under their own names, arguments, defaults and formulas, as gradtx transformations.

    >>> import jax.numpy as jnp
    >>> from gradtx.compat import keras
    >>> tx = keras.AdamW(keras.schedules.CosineDecay(1e-3, decay_steps=1000), global_clipnorm=1.0)
    >>> state = tx.init({"dense/kernel": jnp.zeros((2, 3)), "dense/bias": jnp.zeros(3)})

`import_state(tx, optimizer, params)` takes over a training of a Keras optimizer, and `export_state` gives it back.
Keras itself is not needed. `from gradtx.compat import keras as optimizers` stands for `from keras import optimizers`.
What is different from `keras.optimizers` 3.15, on purpose:

* `build(variables)` and `stateless_apply` are `tx.init(params)` and `tx.step(grads, state, params)`.
* The learning rate may be any schedule of gradtx. A function gets the step; Keras calls it without an argument.
* `loss_scale_factor` divides the gradients; multiply the loss yourself, as with Keras' `scale_loss`.
* `use_ema`: read the average with `gradtx.averaged(state, params)`, in place of `finalize_variable_values`.
* `exclude_from_weight_decay(tx, var_names=["bias"])` is a function and returns another optimizer. The names are those
  of the leaves: give parameters as a dict with `variable.path` as keys, or nested; lists have no names.
* `name` is accepted and means nothing here. `jit_compile` belongs to `compile`: put `jax.jit` around your step.
* Arguments without effect are errors: `ema_overwrite_frequency` without `use_ema`, `warmup_steps` of `CosineDecay`
  without `warmup_target`, a negative clip, a weight decay of None for `AdamW`.
* A learning rate is a number in double precision. Keras keeps it, and computes schedules, in float32 unless
  `keras.config.set_floatx("float64")`; then steps differ by 1e-7 of their length.
* `CosineDecayRestarts` of Keras may begin a cycle one step late, by a rounding error of a logarithm. Here it does not.
* Layers' constraints and `overwrite_with_gradient` are Keras' own: use `gradtx.project_onto`.
* `LossScaleOptimizer` keeps its scale at least 1; `MultiOptimizer` takes what `OptimizerMap` returns, which is
  `gradtx.route`.
* `callbacks.ReduceLROnPlateau` is a transformation behind the optimizer, and `callbacks.LearningRateScheduler` a
  learning rate, which is told the steps of an epoch.
* They return chains of gradtx's pieces. These print, and `gradtx.parse` reads the text.
* Sums are in float32 or wider where Keras uses the type of the variables.
"""

from gradtx.compat.keras import callbacks, schedules
from gradtx.compat.keras.adam import Adam, Adamax, AdamW, Lamb, Nadam, ScheduleFreeAdamW
from gradtx.compat.keras.optimizers import SGD, Adadelta, Adafactor, Adagrad, Ftrl, Lion, Muon, RMSprop
from gradtx.compat.keras.states import export_state, import_state
from gradtx.compat.keras.wrappers import LossScaleOptimizer, MultiOptimizer, OptimizerMap, exclude_from_weight_decay
from gradtx.export import register_states as _register_states

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "OptimizerMap",
    "RMSprop",
    "ScheduleFreeAdamW",
    "callbacks",
    "exclude_from_weight_decay",
    "export_state",
    "import_state",
    "schedules",
]

_register_states()  # those of these modules, which came after the others

_INSTEAD = {
    "Optimizer": "write a transformation with @gradtx.transformation",
    "serialize": "use repr or gradtx.to_dict",
    "deserialize": "use gradtx.parse or gradtx.from_dict",
    "get": "use the name itself, or gradtx.parse",
    "legacy": "it is empty in Keras 3",
}


def __getattr__(name: str) -> object:
    if name in _INSTEAD:
        raise AttributeError(f"gradtx.compat.keras has no {name}: {_INSTEAD[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
