"""A trainer on many devices as MaxText has it: logical axes, and a `TrainState` under jit with shardings."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.training.train_state import TrainState
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import gradtx
from tests.clients.agreement import ALGORITHMS, EPS, EXPENSIVE, STEPS, Client, Run, agrees, difference

RULES = (("batch", "fsdp"), ("embed", "fsdp"), ("vocab", "tensor"), ("mlp", "tensor"))
TOKENS = jax.random.randint(jax.random.key(1), (8, 6), 0, 16)


class Block(nn.Module):
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x):
        def dense(features, *names):
            kernel = nn.with_logical_partitioning(nn.initializers.lecun_normal(), names)
            return nn.Dense(features, use_bias=False, kernel_init=kernel, param_dtype=self.dtype)

        scale = nn.with_logical_partitioning(nn.initializers.ones, ("embed",))
        h = nn.RMSNorm(scale_init=scale, param_dtype=self.dtype)(x)
        return x + dense(8, "mlp", "embed")(nn.gelu(dense(16, "embed", "mlp")(h)))


class Decoder(nn.Module):
    """Predicts a token from the one before it."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens):
        table = nn.with_logical_partitioning(nn.initializers.normal(1.0), ("vocab", "embed"))
        embed = nn.Embed(16, 8, embedding_init=table, param_dtype=self.dtype)
        x = embed(tokens)
        x = nn.with_logical_constraint(Block(self.dtype)(x), ("batch", None, "embed"))
        return embed.attend(x).astype(jnp.float32)


def mesh(devices=8):
    return Mesh(np.array(jax.devices()[:devices]).reshape(-1, 2 if devices > 1 else 1), ("fsdp", "tensor"))


class Trainer:
    """The state is made in the boxes of flax's metadata, which say how it is to lie, and stepped out of them."""

    def __init__(self, tx, mesh, dtype=jnp.float32):
        self.model, self.mesh, self.tx, self.traces = Decoder(dtype), mesh, tx, 0
        with jax.set_mesh(mesh), nn.logical_axis_rules(RULES):
            abstract = jax.eval_shape(self.init, jax.random.key(0))
            specs = nn.get_partition_spec(abstract)
            self.shardings = nn.logical_to_mesh_sharding(specs, mesh, RULES)
            start = jax.jit(self.init, out_shardings=self.shardings)
            self.state = nn.unbox(start(jax.random.key(0)))
        batch = NamedSharding(mesh, PartitionSpec("fsdp"))
        scalar = NamedSharding(mesh, PartitionSpec())
        self.tokens = jax.device_put(TOKENS, batch)
        self.step = jax.jit(
            self.raw_step,
            in_shardings=(self.shardings, batch),
            out_shardings=(self.shardings, scalar),
            donate_argnums=0,
        )

    def init(self, key):
        return TrainState.create(apply_fn=self.model.apply, params=self.model.init(key, TOKENS), tx=self.tx)

    def raw_step(self, state, tokens):
        self.traces += 1

        def loss(params):
            logits = state.apply_fn(params, tokens[:, :-1])
            return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()

        value, grads = jax.value_and_grad(loss)(state.params)
        return state.apply_gradients(grads=grads), value

    def run(self):
        losses = []
        with jax.set_mesh(self.mesh), nn.logical_axis_rules(RULES):
            for _ in range(STEPS):
                self.state, loss = self.step(self.state, self.tokens)
                losses.append(float(loss))
        return Run(np.array(losses), jax.tree.map(np.asarray, self.state.params), self.traces)


def train(tx):
    return Trainer(tx, mesh()).run()


CLIENTS = [Client("flax", "trainer with shardings, `TrainState`", train, rate=0.03125)]


@pytest.mark.parametrize("algorithm", EXPENSIVE)
def test_it_trains_as_with_optax(algorithm):
    agrees(CLIENTS[0], algorithm)


def placed(x):
    """How an array lies, without trailing axes that are not split."""
    spec = list(x.sharding.spec)
    while spec and spec[-1] is None:
        spec.pop()
    return spec


@pytest.fixture(scope="module")
def trained():
    """A trainer that has trained, and what it says of that."""
    trainer = Trainer(ALGORITHMS["scheduled adamw"].make(gradtx, CLIENTS[0].rate), mesh())
    return trainer, trainer.run()


def test_moments_lie_where_their_parameters_do(trained):
    trainer, _ = trained
    adam = trainer.state.opt_state["scale_by_adam"]
    params = [placed(p) for p in jax.tree.leaves(trainer.state.params)]
    for moment in (adam.mu, adam.nu):
        assert [placed(m) for m in jax.tree.leaves(moment)] == params
    kernel = adam.nu["params"]["Block_0"]["Dense_1"]["kernel"]
    assert placed(kernel) == ["fsdp", "tensor"]
    assert kernel.addressable_shards[0].data.nbytes * 8 == kernel.nbytes
    assert placed(adam.count) == []
    assert trainer.step._cache_size() == 1  # what came out of the jitted init fits the step, and what came out of that


def test_eight_devices_train_as_one(trained):
    trainer, many = trained
    one = Trainer(trainer.tx, mesh(1)).run()
    assert difference(many[:2], one[:2]) <= 64 * EPS


@pytest.mark.nightly
def test_half_precision_and_rules_that_reach_into_boxes():
    """TrainState adds updates with optax's apply_updates, which keeps bfloat16; a frozen leaf has no moments."""
    trainer = Trainer(gradtx.freeze(gradtx.adam(0.03), "params/Embed_0"), mesh(), jnp.bfloat16)
    before = np.asarray(trainer.state.params["params"]["Embed_0"]["embedding"])
    run, moments = trainer.run(), trainer.state.opt_state["scale_by_adam"].mu
    np.testing.assert_array_equal(run.params["params"]["Embed_0"]["embedding"], before)
    assert moments["params"]["Embed_0"]["embedding"] is None
    assert {x.dtype for x in jax.tree.leaves(run.params)} == {jnp.dtype("bfloat16")}
    assert {x.dtype for x in jax.tree.leaves(moments)} == {jnp.dtype("float32")}
    assert run.traces == 1
    assert run.losses[-1] < run.losses[0]
