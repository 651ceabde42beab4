namespace Microsoft.ML.Diffusion;

/// <summary>What a block of a pass is told of timestep and class: a row for each image, or one for all.</summary>
/// <param name="rows">FiLM's scales and then its shifts, or what is added.</param>
/// <param name="gradient">Where their gradients are added to, likewise; null: there is no way back.</param>
internal sealed unsafe class HostRows(ImageRows rows, float* gradient)
{
    /// <summary>FiLM's scales and then its shifts, or what is added.</summary>
    public ImageRows Rows => rows;

    /// <summary>Where their gradients are added to, likewise; null: there is no way back.</summary>
    public float* Gradient => gradient;
}

/// <summary>
/// One pass over a network in memory of our own: its operators run one after the other with no tensor between them and, where it learns, note what the way back needs, which
/// <see cref="Backward"/> then goes in reverse order. libtorch is asked for next to nothing: in a step of a tenth of a second, hundreds of its calls would cost a twentieth. For one thread.
/// </summary>
internal sealed unsafe partial class HostPass
{
    private readonly HostPool? _pool;
    private readonly Stack<HostStep>? _steps;

    private HostPass(HostPool? pool, bool learns)
    {
        _pool = pool;
        _steps = learns ? [] : null;
    }

    /// <summary>Whether every operator up to now has a kernel for the sizes it met, and every layer is known.</summary>
    public bool Fits { get; private set; } = true;

    private HostPool Pool => _pool ?? throw new InvalidOperationException("A rehearsal has no memory.");

    /// <summary>A pass.</summary>
    /// <param name="pool">Where its memory comes from; outlives it.</param>
    /// <param name="learns">Whether there will be a way back.</param>
    public static HostPass Begin(HostPool pool, bool learns) => new(pool, learns);

    /// <summary>A pass that computes nothing and finds out whether another could: see <see cref="Fits"/>.</summary>
    /// <param name="learns">Whether there would be a way back.</param>
    public static HostPass Rehearse(bool learns) => new(null, learns);

    /// <summary>Images of a pass, whatever is in them; to be disposed.</summary>
    /// <param name="shape">Their sizes.</param>
    /// <param name="needsGradient">Whether their gradient is of use to anybody.</param>
    public HostImages New(ImageShape shape, bool needsGradient = true) =>
        _pool is null ? HostImages.Over(new(null, shape)) : HostImages.Rent(_pool, shape, needsGradient);

    /// <summary>Runs an operator with what surrounds it.</summary>
    /// <param name="run">The operator.</param>
    /// <param name="x">[N, H, W, C].</param>
    /// <param name="layer">Its parameters and the norm's; null: they are not known.</param>
    /// <param name="norm">What comes before; null: nothing.</param>
    /// <param name="film">What the norm is told; or null.</param>
    /// <param name="addend">[N, H', W', D], added to the result; or null.</param>
    /// <param name="to">Where the result is written; null: where there is room.</param>
    /// <returns>[N, H', W', D], to be disposed.</returns>
    public HostImages Run(ImageOperator run, HostImages x, KnownLayer? layer, NormSettings? norm = null, HostRows? film = null, HostImages? addend = null, HostImages? to = null)
    {
        HostImages y = to ?? New(run.OutputOf(x.Shape));
        if (_pool is null)
        {
            Fits &= run.Takes(x.Shape, norm is not null) && IsKnown(layer);
            return y;
        }
        LayerMemory parameters = layer!.Numbers;
        var measured = norm is null ? null : Measure(x, parameters, norm, film);
        y.Moments = run.Apply(x.Memory, measured?.Batch, parameters, addend?.Memory ?? default, y.Memory);
        if (_steps is not null)
            _steps.Push(new OperatorStep(run, x.Share(), y, addend, layer, measured, film));
        else
            measured?.Return(_pool);
        return y;
    }

    /// <summary>Lets pixels attend to each other.</summary>
    /// <param name="qkv">[N, H, W, 3·heads·d].</param>
    /// <param name="heads">Number of heads.</param>
    /// <returns>[N, H, W, heads·d], to be disposed.</returns>
    public HostImages Attend(HostImages qkv, int heads)
    {
        var shape = qkv.Shape;
        var size = new AttentionSize(shape.Images, shape.Height * shape.Width, heads, shape.Channels / 3 / heads);
        if (shape.IsNarrow && !AttentionOperator.Takes(size, narrow: true))
        {
            // Few positions: in float32 they have a kernel.
            using HostImages wide = Convert(qkv, narrow: false), y = Attend(wide, heads);
            return Convert(y, narrow: true);
        }
        HostImages mixed = New(shape with { Channels = shape.Channels / 3 });
        if (_pool is null)
        {
            Fits &= shape.Channels % (3 * heads) == 0 && AttentionOperator.Takes(size, shape.IsNarrow);
            return mixed;
        }
        float* normalizers = _steps is null ? null : (float*)_pool.Rent(NormalizerBytes(size));
        AttentionOperator.Apply(size, shape.IsNarrow, qkv.Memory.Numbers, mixed.Memory.Numbers, normalizers);
        _steps?.Push(new AttentionStep(size, qkv.Share(), mixed.Share(), normalizers));
        return mixed;
    }

    /// <summary>Joins channels, which lie where they were: for a norm or a 1x1 convolution.</summary>
    /// <param name="a">[N, H, W, A].</param>
    /// <param name="b">[N, H, W, B].</param>
    /// <returns>[N, H, W, A + B], to be disposed.</returns>
    public HostImages Join(HostImages a, HostImages b)
    {
        HostImages y = HostImages.Join(a, b);
        y.Moments = ChannelMoments.Join(a.Moments, b.Moments);
        _steps?.Push(new JoinStep(a, b, y));
        return y;
    }

    /// <summary>Rounds to bfloat16, or widens to float32.</summary>
    /// <param name="x">[N, H, W, C].</param>
    /// <param name="narrow">Whether bfloat16 is wanted.</param>
    /// <returns>The same in that type, to be disposed.</returns>
    public HostImages Convert(HostImages x, bool narrow)
    {
        if (x.Shape.IsNarrow == narrow)
            return x.Share();
        HostImages y = Map(x, x.Shape with { IsNarrow = narrow }, x.Shape.Channels % Lanes512.Count == 0, ImageKernel.Convert, ImageKernel.Convert);
        // What rounding adds to them is below what a norm can tell.
        y.Moments = x.Moments;
        return y;
    }

    /// <summary>Norm, FiLM and SiLU by themselves.</summary>
    /// <param name="x">[N, H, W, C].</param>
    /// <param name="layer">The norm's parameters; null: they are not known.</param>
    /// <param name="norm">The norm.</param>
    /// <param name="film">What it is told; or null.</param>
    /// <returns>[N, H, W, C], to be disposed.</returns>
    public HostImages Normalize(HostImages x, KnownLayer? layer, NormSettings norm, HostRows? film)
    {
        HostImages y = New(x.Shape);
        if (_pool is null)
        {
            Fits &= NormBatch.Takes(x.Shape.Channels) && IsKnown(layer);
            return y;
        }
        var measured = Measure(x, layer!.Numbers, norm, film);
        measured.Batch.ApplyToAll(y.Memory.Numbers);
        if (_steps is not null)
            _steps.Push(new NormStep(x.Share(), y, layer, measured, film));
        else
            measured.Return(_pool);
        return y;
    }

    /// <summary>Adds a row to every pixel of an image, where it lies.</summary>
    /// <param name="x">[N, H, W, C], which nobody else has read; changed.</param>
    /// <param name="rows">[N or 1, C].</param>
    public void AddRows(HostImages x, HostRows rows)
    {
        if (_pool is null)
        {
            Fits &= Lanes.Dividing(x.Shape.Channels) > 0;
            return;
        }
        x.Moments = x.Moments?.Shifted(rows.Rows);
        ImageKernel.AddRows(x.Memory, rows.Rows.Numbers, rows.Rows.IsPerImage);
        _steps?.Push(new RowsStep(x, rows));
    }

    /// <summary>Multiplies each number by one of its own, where it lies.</summary>
    /// <param name="x">[N, H, W, C], which nobody else has read; changed.</param>
    /// <param name="factors">Makes the factors: [N, H, W, C] in that type, contiguous, disposed here.</param>
    public void Multiply(HostImages x, Func<ImageShape, Tensor> factors)
    {
        x.Moments = null;
        if (_pool is null)
        {
            Fits &= Lanes.Dividing(x.Shape.Channels) > 0;
            return;
        }
        using Tensor made = factors(x.Shape);
        HostImages kept = New(x.Shape);
        Buffer.MemoryCopy(HostMemory.Pointer(made), kept.Memory.Numbers, kept.Shape.Bytes, kept.Shape.Bytes);
        ImageKernel.Multiply(x.Memory, kept.Memory);
        if (_steps is null)
            kept.Dispose();
        else
            _steps.Push(new FactorsStep(x, kept));
    }

    /// <summary>The mean of each 2x2 pixels.</summary>
    /// <param name="x">[N, H, W, C].</param>
    /// <returns>[N, H/2, W/2, C], to be disposed.</returns>
    public HostImages Halve(HostImages x)
    {
        var shape = x.Shape with { Height = x.Shape.Height / 2, Width = x.Shape.Width / 2 };
        return Map(x, shape, Lanes.Dividing(shape.Channels) > 0, (from, to) => ImageKernel.Halve(from, to, 0.25f), (dy, dx) => ImageKernel.Double(dy, dx, 0.25f));
    }

    /// <summary>Every pixel four times.</summary>
    /// <param name="x">[N, H, W, C].</param>
    /// <returns>[N, 2H, 2W, C], to be disposed.</returns>
    public HostImages Double(HostImages x)
    {
        var shape = x.Shape with { Height = 2 * x.Shape.Height, Width = 2 * x.Shape.Width };
        return Map(x, shape, Lanes.Dividing(shape.Channels) > 0, (from, to) => ImageKernel.Double(from, to, 1), (dy, dx) => ImageKernel.Halve(dy, dx, 1));
    }

    /// <summary>Takes the gradient of the last result back to the input and adds up the parameters'; once.</summary>
    /// <param name="result">What the pass ended with; holds its gradient.</param>
    /// <param name="gradient">Its gradient, whose memory is the pass's from now on.</param>
    public void Backward(HostImages result, HostImages gradient)
    {
        if (_steps is null or { Count: 0 })
            throw new InvalidOperationException("The network's gradients were computed already, and what they need is gone: run the network once more.");
        result.AddGradient(gradient);
        while (_steps.TryPop(out var step))
            step.Backward(this);
    }

    private bool IsKnown(KnownLayer? layer) => layer is not null && (_steps is null || layer.Gradients is not null);

    /// <summary>Runs an operator that needs none of its numbers on the way back.</summary>
    private HostImages Map(HostImages x, ImageShape shape, bool fits, Action<ImageMemory, ImageMemory> forth, Action<ImageMemory, ImageMemory> back)
    {
        HostImages y = New(shape);
        if (_pool is null)
        {
            Fits &= fits;
            return y;
        }
        forth(x.Memory, y.Memory);
        _steps?.Push(new MapStep(x, y, back));
        return y;
    }

    private MeasuredNorm Measure(HostImages x, LayerMemory parameters, NormSettings norm, HostRows? film)
    {
        nint bytes = (nint)x.Shape.Images * 2 * norm.Groups * sizeof(float);
        var statistics = (float*)Pool.Rent(bytes);
        var batch = new NormBatch(x.Memory, parameters.NormWeight, parameters.NormBias, film?.Rows ?? default, statistics, norm);
        batch.Measure(x.Moments);
        return new(batch, statistics, bytes);
    }

    private static nint NormalizerBytes(AttentionSize size) => (nint)size.Images * size.Heads * size.Positions * sizeof(float);

    /// <summary>A norm with what it measured, in memory of the pass.</summary>
    private sealed class MeasuredNorm(NormBatch batch, float* statistics, nint bytes)
    {
        public NormBatch Batch => batch;

        /// <summary>Gives the memory back; the norm cannot be used any more.</summary>
        public void Return(HostPool pool) => pool.Return(statistics, bytes);
    }
}
