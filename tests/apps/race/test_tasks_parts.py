"""What tasks are made of, each held to something that is computed in another way."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import optimize, special, stats

from gradtx.apps.race.tasks import burgers, convex, data, language, networks, streams, surfaces
from gradtx.apps.race.tasks.data import fingerprint
from gradtx.apps.race.tasks.networks import Layer, initial
from tests.double import enable_x64

TINY = networks.Shape(tokens=7, context=5, width=4, heads=2, hidden=6, layers=2)


def double(tree):
    return jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), tree)


class TestGradients:
    """Against finite differences, in double precision."""

    @pytest.mark.parametrize("name", ["bowl", "rosenbrock", "beale", "rastrigin", "ill_conditioned"])
    def test_of_surfaces(self, name):
        of = getattr(surfaces, name)()
        with enable_x64(True):
            w = double(of.start(np.int32(0)))
            check_grads(jax.jit(lambda w: of.loss(w, None)), (w,), order=1, modes=["rev"], rtol=1e-5)

    def test_of_logistic_regression(self):
        table = data.Table(*(a[:6] for a in data.load_table("wine")))
        with enable_x64(True):
            layers = double(initial(jax.random.key(0), (13, 3)))
            check_grads(jax.jit(lambda p: convex.objective(p, table)), (layers,), order=1, modes=["rev"], rtol=1e-5)

    def test_of_the_noisy_quadratic(self):
        of = streams.heavy_tails()
        noise = streams.student(jax.random.key(0), 1.5, (50,))
        with enable_x64(True):
            w = double(of.start(np.int32(0)))
            slope = jax.grad(of.loss)(w, double(noise))
            np.testing.assert_allclose(slope - jax.grad(of.score)(w), noise, rtol=1e-6)
            assert of.loss(w, jnp.zeros(50)) == of.score(w)

    def test_of_the_transformer(self):
        tokens = jax.random.randint(jax.random.key(1), (2, 5), 0, 7)
        with enable_x64(True):
            params = double(networks.transformer(jax.random.key(0), TINY))
            value = jax.jit(lambda p: jnp.sum(networks.next_logits(p, tokens, TINY.heads) ** 2))
            check_grads(value, (params,), order=1, modes=["rev"], rtol=1e-5)

    def test_of_the_equation(self):
        with enable_x64(True):
            layers = double(initial(jax.random.key(0), (2, 3, 1)))
            t, x = map(jnp.asarray, burgers.collocation(2, np.random.default_rng(1)))
            value = jax.jit(lambda p: jnp.sum(burgers.residual(p, t, x) ** 2))
            check_grads(value, (layers,), order=1, modes=["rev"], rtol=1e-5)


class TestConvex:
    @pytest.mark.parametrize("name", ["breast_cancer", "wine"])
    def test_optimum_is_that_of_scipy(self, name):
        x, y = (np.asarray(a, np.float64 if a.ndim == 2 else int) for a in data.load_table(name))
        np.testing.assert_allclose(x.std(0), 1, rtol=1e-5)
        n, classes = len(y), y.max() + 1
        inputs, truth = np.column_stack([x, np.ones(n)]), np.eye(classes)[y]

        def value_and_slope(flat):
            w = flat.reshape(-1, classes)
            log_p = special.log_softmax(inputs @ w, axis=1)
            slope = inputs.T @ (np.exp(log_p) - truth) / n + convex.L2 * w
            return -(truth * log_p).sum() / n + convex.L2 / 2 * (w**2).sum(), slope.ravel()

        start = np.zeros(inputs.shape[1] * classes)
        found = optimize.minimize(value_and_slope, start, jac=True, method="BFGS", options={"gtol": 1e-8})
        assert convex.OPTIMA[name] == pytest.approx(found.fun, abs=1e-12)
        assert convex.OPTIMA[name] <= found.fun + 1e-15


class TestTorch:
    """torch's losses are those of JAX, for many trainings at once."""

    pytestmark = pytest.mark.peers
    NAMES = ("bowl", "rosenbrock", "beale", "rastrigin", "ill_conditioned", "breast_cancer", "wine")

    @pytest.mark.parametrize("name", NAMES)
    def test_loss_and_gradient(self, name):
        import torch

        of = getattr(convex if hasattr(convex, name) else surfaces, name)()
        starts = [of.torch.start(seed) for seed in range(3)]
        own = jax.jit(jax.vmap(of.start))(np.arange(3, dtype=np.int32))
        tensors = [torch.stack(leaves) for leaves in zip(*starts, strict=True)]
        jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(own), [x.numpy() for x in tensors])
        tensors = [torch.stack([x, x / 2]).requires_grad_() for x in tensors]  # two rates, three seeds
        losses = of.torch.loss(tensors, None)
        losses.sum().backward()
        many = jax.tree.map(lambda x: jnp.stack([x, x / 2]), own)
        ours = jax.jit(jax.vmap(jax.vmap(jax.value_and_grad(lambda p: of.loss(p, None)))))(many)
        for a, b in zip([losses.detach(), *(x.grad for x in tensors)], jax.tree.leaves(ours), strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a.numpy(), b, rtol=2e-5, atol=2e-5 * float(abs(b).max()))


def test_student_is_student():
    x = np.asarray(jax.jit(streams.student, static_argnums=(1, 2))(jax.random.key(0), 1.5, (100, 200))).ravel()
    assert np.isfinite(x).all()
    assert stats.kstest(np.float64(x), stats.t(1.5).cdf).pvalue > 0.01


class TestText:
    def test_loads_alike_twice_and_is_named(self):
        first = data.text_sources()
        data.library.cache_clear()
        assert data.text_sources() == first
        ((name, digest),) = first
        assert f"{len(data.FILES)} files" in name
        assert digest.startswith("sha256 ")
        assert len(digest) == len("sha256 ") + 64

    def test_characters_spell_the_files_and_the_held_out_ones_are_others(self):
        found = data.tokens(96, words=False)
        spelled = "".join(found.vocabulary[k] for k in found.train[:2000])
        assert data.library()[0].startswith(spelled)
        assert data.library()[-1].endswith("".join(found.vocabulary[k] for k in found.held_out[-2000:]))
        whole = sum(map(len, data.library()))
        assert len(found.train) + len(found.held_out) == whole
        assert len(found.held_out) / whole == pytest.approx(0.1, abs=0.001)

    def test_words_leave_nothing_out(self):
        for each in data.library():
            assert "".join(data.WORDS.findall(each)) == each
        counts = np.bincount(data.tokens(64, words=True).train, minlength=64)
        assert (np.diff(counts[:-1]) <= 0).all()

    def test_python_without_its_source_is_told(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"Python's standard library, and .*_pydecimal.py does not exist"):
            data.library(tmp_path)

    def test_held_out_score_of_the_bigram_is_the_mean_over_pairs(self):
        of, held_out = language.bigram(), data.tokens(language.TOKENS, words=True).held_out
        params = jax.jit(of.start)(np.int32(0))
        pairs = jnp.stack([held_out[:-1], held_out[1:]], axis=1)
        np.testing.assert_allclose(jax.jit(of.score)(params), jax.jit(of.loss)(params, pairs), rtol=1e-5)

    def test_windows_are_pieces_of_the_text(self):
        tokens = np.arange(50, dtype=np.int32)
        windows = np.asarray(language._windows(tokens, np.int32(3), (40, 10), 4))
        np.testing.assert_array_equal(windows - windows[..., :1], np.broadcast_to(np.arange(4), windows.shape))
        assert (windows.min(), windows.max()) == (0, 49)


def test_transformer_does_not_see_what_is_to_come():
    params = networks.transformer(jax.random.key(0), TINY)
    logits = jax.jit(functools.partial(networks.next_logits, heads=TINY.heads))
    tokens = jnp.array([[1, 2, 3, 4, 5]])
    other = tokens.at[0, 3].set(6)
    before, after = logits(params, tokens), logits(params, other)
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any(axis=-1).all()


class TestBurgers:
    def test_solution_is_that_of_a_spectral_solver(self):
        """Fourier modes, and Runge-Kutta of order 4 with small steps: nothing in common with the quadrature."""
        n, steps = 128, 2000
        x = np.arange(n) * 2 / n - 1
        k = 1j * np.pi * np.fft.fftfreq(n, 1 / n)

        def slope(u):
            h = np.fft.fft(u)
            return np.fft.ifft(burgers.VISCOSITY * k**2 * h).real - u * np.fft.ifft(k * h).real

        u, dt = -np.sin(np.pi * x), 1 / steps
        np.testing.assert_allclose(burgers.solution(np.zeros(n), x), u, atol=1e-14)
        for step in range(1, steps + 1):
            a = slope(u)
            b = slope(u + dt / 2 * a)
            c = slope(u + dt / 2 * b)
            u = u + dt / 6 * (a + 2 * b + 2 * c + slope(u + dt * c))
            if step in (steps // 2, steps):
                np.testing.assert_allclose(burgers.solution(np.full(n, step * dt), x), u, atol=1e-9)

    def test_residual_is_the_equation(self):
        """Of a network that says 0 the approximation is -sin πx at all times, of which the derivatives are known."""
        with enable_x64(True):
            layers = [Layer(jnp.zeros((2, 3)), jnp.zeros(3)), Layer(jnp.zeros((3, 1)), jnp.zeros(1))]
            t, x = map(jnp.asarray, burgers.collocation(4, np.random.default_rng(0)))
            sin, cos = np.sin(np.pi * x), np.cos(np.pi * x)
            expected = np.pi * sin * cos - burgers.VISCOSITY * np.pi**2 * sin
            np.testing.assert_allclose(burgers.residual(layers, t, x), expected, atol=1e-12)
            # of one that says 1, u = -sin πx + t·(1 - x²)
            layers[1] = Layer(jnp.zeros((3, 1)), jnp.ones(1))
            u, u_x = -sin + t * (1 - x**2), -np.pi * cos - 2 * t * x
            expected = 1 - x**2 + u * u_x - burgers.VISCOSITY * (np.pi**2 * sin - 2 * t)
            np.testing.assert_allclose(burgers.residual(layers, t, x), expected, atol=1e-12)

    def test_points_lie_one_in_each_cell(self):
        t, x = burgers.collocation(4, np.random.default_rng(0))
        cells = np.floor(t * 4) * 4 + np.floor((x + 1) * 2)
        assert sorted(cells) == list(range(16))


def test_fingerprint_tells_types_shapes_and_numbers_apart():
    a = np.arange(6, dtype=np.int32)
    others = [a.astype(np.int64), a.reshape(2, 3), a[::-1], a.astype(np.float32)]
    assert len({fingerprint([x]) for x in [a, *others]}) == 5
    assert fingerprint([a]) == fingerprint([a.astype(">i4")]) == fingerprint([jnp.asarray(a)])
