namespace Microsoft.ML.Diffusion;

/// <summary>One term of the bound for each row. Owns its tensors.</summary>
/// <param name="Bits">[N]: bits per dimension.</param>
/// <param name="X0">[N, C, H, W]: the estimate of x_0 behind it.</param>
public readonly record struct BoundTerm(Tensor Bits, Tensor X0) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        Bits.Dispose();
        X0.Dispose();
    }
}

/// <summary>
/// The variational bound on −log p(x_0), in bits per dimension (Ho et al. 2020, equation 5): L_T, how far q(x_T | x_0) is from pure noise;
/// L_t for t = T−1 … 1, how far each reverse step is from the posterior; L_0, the likelihood of 8-bit pixels under the last step.
/// One function for training and evaluation.
/// </summary>
public static class VariationalBound
{
    private const double NatsPerBit = 0.6931471805599453;

    /// <summary>The draw of ε for one timestep: [N, C, H, W], disposed by whom it is returned to.</summary>
    /// <param name="timestep">0 … T−1.</param>
    public delegate Tensor StepNoise(int timestep);

    /// <summary>The bound's term at each row's timestep: the decoder's negative log likelihood at t = 0, else KL(q(x_{t−1} | x_t, x_0) ‖ p(x_{t−1} | x_t)).</summary>
    /// <param name="diffusion">The process.</param>
    /// <param name="output">The network's output for x_t.</param>
    /// <param name="x0">[N, C, H, W]: pixels k/127.5 − 1.</param>
    /// <param name="x">x_t, shaped as <paramref name="x0"/>.</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="threshold">Applied to the network's x_0; null clips to [−1, 1]. Training uses <see cref="X0Threshold.None"/>, because a clipped estimate has no gradient.</param>
    public static BoundTerm Term(GaussianDiffusion diffusion, Tensor output, Tensor x0, Tensor x, Tensor t, X0Threshold? threshold = null)
    {
        ArgumentNullException.ThrowIfNull(diffusion);
        using var scope = NewDisposeScope();
        var posterior = diffusion.PosteriorMeanVariance(x0, x, t);
        var step = diffusion.PMeanVariance(output, x, t, threshold);
        var kl = Rows.Mean(GaussianTerms.Kl(posterior.Mean, posterior.LogVariance, step.Mean, step.LogVariance));
        var decoder = -Rows.Mean(GaussianTerms.DiscretizedLogLikelihood(x0, step.Mean, Held(0.5) * step.LogVariance));
        var bits = where(t == Held(0), decoder, kl) / Held(NatsPerBit);
        scope.MoveToOuter(bits, step.X0);
        return new BoundTerm(bits, step.X0);
    }

    /// <summary>L_T for each row: KL(q(x_{T−1} | x_0) ‖ N(0, 1)), which no network can change.</summary>
    /// <param name="diffusion">The process.</param>
    /// <param name="x0">[N, C, H, W].</param>
    /// <returns>[N]: bits per dimension.</returns>
    public static Tensor Prior(GaussianDiffusion diffusion, Tensor x0)
    {
        ArgumentNullException.ThrowIfNull(diffusion);
        using var scope = NewDisposeScope();
        var last = full(x0.shape[0], Held(diffusion.Timesteps - 1), ScalarType.Int64, x0.device);
        var q = diffusion.QMeanVariance(x0, last);
        return (Rows.Mean(GaussianTerms.KlToStandardNormal(q.Mean, q.LogVariance)) / Held(NatsPerBit)).MoveToOuterDisposeScope();
    }

    /// <summary>The whole bound of one batch: T runs of the network.</summary>
    /// <param name="diffusion">The process.</param>
    /// <param name="model">The network.</param>
    /// <param name="x0">[N, C, H, W]: pixels k/127.5 − 1.</param>
    /// <param name="noise">ε of each timestep; asked for from T−1 down to 0. Give each row its own generator and its bound does not depend on the batch it is in.</param>
    /// <param name="threshold">Applied to the network's x_0; null clips to [−1, 1].</param>
    /// <param name="cancellation">Stops between two timesteps.</param>
    /// <exception cref="ArgumentException">A pixel lies outside [−1, 1]: the likelihood of 8-bit levels would have no meaning.</exception>
    public static BoundRows Evaluate(
        GaussianDiffusion diffusion, DenoisingModel model, Tensor x0, StepNoise noise, X0Threshold? threshold = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(diffusion);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(noise);
        using var off = no_grad();
        using var scope = NewDisposeScope();
        var largest = x0.abs().max().to(ScalarType.Float64).item<double>();
        if (!(largest <= 1.0001))
            throw new ArgumentException($"The bound is that of images in [-1, 1] at the 8-bit levels k/127.5 - 1, but a pixel has magnitude {largest}. Scale the images first.", nameof(x0));
        var steps = diffusion.Timesteps;
        Tensor[] bits = new Tensor[steps], x0Mse = new Tensor[steps], epsilonMse = new Tensor[steps];
        for (var t = steps - 1; t >= 0; t--)
        {
            cancellation.ThrowIfCancellationRequested();
            using var inner = NewDisposeScope();
            var time = full(x0.shape[0], Held(t), ScalarType.Int64, x0.device);
            var epsilon = noise(t);
            var x = diffusion.QSample(x0, time, epsilon);
            var term = Term(diffusion, model(x, diffusion.ModelTime(time)), x0, x, time, threshold);
            bits[t] = inner.MoveToOuter(term.Bits);
            x0Mse[t] = inner.MoveToOuter(Rows.Mean((term.X0 - x0).Squared()));
            epsilonMse[t] = inner.MoveToOuter(Rows.Mean((diffusion.EpsilonFromX0(x, time, term.X0) - epsilon).Squared()));
        }
        return new BoundRows(Read(stack(bits)), Read(stack(x0Mse)), Read(stack(epsilonMse)), [.. Read(Prior(diffusion, x0))], steps);
    }

    /// <summary>The values as float64, row-major; one transfer from the device.</summary>
    private static double[] Read(Tensor values)
    {
        using var cpu = values.to(ScalarType.Float64).cpu();
        return cpu.data<double>().ToArray();
    }
}
