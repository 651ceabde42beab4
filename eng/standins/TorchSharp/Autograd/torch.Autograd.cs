using static TorchSharp.Native.Bridge;

namespace TorchSharp;

/// <summary>Gradients, and whether they are recorded.</summary>
public static unsafe partial class torch
{
    public static IDisposable no_grad() => new GradMode(false);
    public static IDisposable enable_grad(bool enabled = true) => new GradMode(enabled);
    public static bool is_grad_enabled() => tss_grad_enabled() != 0;
    public static IDisposable inference_mode(bool mode = true) => new InferenceMode(mode);
    public static bool is_inference_mode_enabled() => tss_inference_enabled() != 0;

    private sealed class GradMode : IDisposable
    {
        private readonly byte _before = tss_grad_enabled();

        public GradMode(bool on) => tss_set_grad_enabled(Flag(on));

        public void Dispose() => tss_set_grad_enabled(_before);
    }

    private sealed class InferenceMode(bool on) : IDisposable
    {
        private nint _guard = tss_inference_enter(Flag(on));

        public void Dispose()
        {
            if (_guard != 0) tss_inference_leave(_guard);
            _guard = 0;
        }
    }

    public static partial class autograd
    {
        public static IList<Tensor> grad(IList<Tensor> outputs, IList<Tensor> inputs, IList<Tensor> grad_outputs = null, bool retain_graph = false, bool create_graph = false, bool allow_unused = false)
        {
            var results = new nint[inputs.Count];
            fixed (nint* o = Handles(outputs), i = Handles(inputs), g = Handles(grad_outputs), r = results)
                Check(tss_autograd_grad(o, outputs.Count, i, inputs.Count, g, grad_outputs?.Count ?? 0, Flag(retain_graph), Flag(create_graph), Flag(allow_unused), r));
            return Array.ConvertAll(results, h => h == 0 ? null : new Tensor(h));
        }

        public static void backward(IList<Tensor> tensors, IList<Tensor> grad_tensors = null, bool? retain_graph = null, bool create_graph = false, IList<Tensor> inputs = null)
        {
            fixed (nint* t = Handles(tensors), g = Handles(grad_tensors), i = Handles(inputs))
                Check(tss_backward(t, tensors.Count, g, grad_tensors?.Count ?? 0, Flag(retain_graph ?? create_graph), Flag(create_graph), i, inputs?.Count ?? 0));
        }

        private static nint[] Handles(IList<Tensor> tensors)
        {
            var handles = new nint[tensors?.Count ?? 0];
            for (int i = 0; i < handles.Length; i++) handles[i] = tensors[i] is null ? 0 : tensors[i].Handle;
            return handles;
        }
    }
}
