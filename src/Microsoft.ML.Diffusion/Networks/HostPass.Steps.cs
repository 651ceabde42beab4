namespace Microsoft.ML.Diffusion;

/// <content>The way back of each operator.</content>
internal sealed unsafe partial class HostPass
{
    /// <summary>The way back of an operator. It holds a share of those images alone whose numbers it reads; the others collect gradients without memory of their own.</summary>
    private abstract class HostStep
    {
        /// <summary>Takes the result's gradient to the inputs and lets go of the images; called once.</summary>
        /// <param name="pass">The pass.</param>
        public abstract void Backward(HostPass pass);
    }

    /// <summary>Takes a gradient back through a norm and adds it to that of the norm's images, in the same pass over memory; joined images get theirs in pieces.</summary>
    private static void BackThroughNorm(HostPass pass, MeasuredNorm norm, HostImages x, HostImages gradient, LayerMemory gradients, HostRows? film)
    {
        float* dFilm = film is null ? null : film.Gradient;
        using HostImages? others = x.TakeGradient();
        ImageMemory added = others?.Memory ?? default;
        if (x.Parts is not [var a, var b])
        {
            NormGradients.Add(norm.Batch, gradient.Memory, added, gradient.Memory, gradients.NormWeight, gradients.NormBias, dFilm);
            x.AddGradient(gradient);
            return;
        }
        using HostImages da = pass.New(a.Shape), db = pass.New(b.Shape);
        NormGradients.Add(norm.Batch, gradient.Memory, added, ImageMemory.Join(da.Memory, db.Memory), gradients.NormWeight, gradients.NormBias, dFilm);
        a.AddGradient(da);
        b.AddGradient(db);
    }

    private sealed class OperatorStep(ImageOperator run, HostImages x, HostImages y, HostImages? addend, KnownLayer layer, MeasuredNorm? norm, HostRows? film) : HostStep
    {
        public override void Backward(HostPass pass)
        {
            using HostImages input = x;
            using HostImages? dy = y.TakeGradient();
            if (dy is not null)
                Backward(pass, dy);
            norm?.Return(pass.Pool);
        }

        private void Backward(HostPass pass, HostImages dy)
        {
            LayerMemory gradients = layer.Gradients!.Value;
            using var ofWeight = DeferredWork.Begin();
            run.AddGradients(x.Memory, norm?.Batch, dy.Memory, gradients.Weight, gradients.Bias);
            if (norm is not null || x.NeedsGradient)
            {
                using HostImages behind = pass.New(x.Shape);
                run.InputGradient(layer.Numbers.Weight, dy.Memory, behind.Memory);
                if (norm is null)
                    x.AddGradient(behind);
                else
                    BackThroughNorm(pass, norm, x, behind, gradients, film);
            }
            ofWeight.Finish();
            // Others' gradients may be added to it where it lies.
            addend?.AddGradient(dy);
        }
    }

    private sealed class NormStep(HostImages x, HostImages y, KnownLayer layer, MeasuredNorm norm, HostRows? film) : HostStep
    {
        public override void Backward(HostPass pass)
        {
            using HostImages input = x;
            using HostImages? dy = y.TakeGradient();
            if (dy is not null)
                BackThroughNorm(pass, norm, x, dy, layer.Gradients!.Value, film);
            norm.Return(pass.Pool);
        }
    }

    private sealed class RowsStep(HostImages x, HostRows rows) : HostStep
    {
        public override void Backward(HostPass pass)
        {
            if (x.Gradient is { } dx)
                ImageKernel.SumRows(dx.Memory, rows.Gradient, rows.Rows.IsPerImage);
        }
    }

    private sealed class FactorsStep(HostImages x, HostImages factors) : HostStep
    {
        public override void Backward(HostPass pass)
        {
            using HostImages kept = factors;
            if (x.Gradient is { } dx)
                ImageKernel.Multiply(dx.Memory, kept.Memory);
        }
    }

    private sealed class AttentionStep(AttentionSize size, HostImages qkv, HostImages mixed, float* normalizers) : HostStep
    {
        public override void Backward(HostPass pass)
        {
            using HostImages input = qkv, result = mixed;
            using (HostImages? dy = result.TakeGradient())
            {
                if (dy is not null)
                {
                    using HostImages dqkv = pass.New(input.Shape);
                    AttentionOperator.Backward(
                        size, input.Shape.IsNarrow, input.Memory.Numbers, result.Memory.Numbers, normalizers, dy.Memory.Numbers, dqkv.Memory.Numbers);
                    input.AddGradient(dqkv);
                }
            }
            pass.Pool.Return(normalizers, NormalizerBytes(size));
        }
    }

    private sealed class JoinStep(HostImages a, HostImages b, HostImages y) : HostStep
    {
        public override void Backward(HostPass pass)
        {
            using HostImages? dy = y.TakeGradient();
            if (dy is null)
                return;
            using HostImages da = pass.New(a.Shape), db = pass.New(b.Shape);
            ImageKernel.Split(dy.Memory, da.Memory, db.Memory);
            a.AddGradient(da);
            b.AddGradient(db);
        }
    }

    private sealed class MapStep(HostImages x, HostImages y, Action<ImageMemory, ImageMemory> back) : HostStep
    {
        public override void Backward(HostPass pass)
        {
            using HostImages? dy = y.TakeGradient();
            if (dy is null)
                return;
            using HostImages dx = pass.New(x.Shape);
            back(dy.Memory, dx.Memory);
            x.AddGradient(dx);
        }
    }
}
