using System.Runtime.InteropServices;
using static TorchSharp.Native.Bridge;

namespace TorchSharp;

public static unsafe partial class torch
{
    public static partial class autograd
    {
        /// <summary>What forward leaves for backward.</summary>
        public class AutogradContext : IDisposable
        {
            private readonly Dictionary<string, object> _data = [];
            private List<Tensor> _toSave = [];
            private nint _node;

            internal AutogradContext() { }

            internal List<Tensor> Dirty { get; private set; } = [];
            internal List<Tensor> NonDifferentiable { get; private set; } = [];

            public bool MaterializeGrads { get; private set; } = true;

            public void save_for_backward(List<Tensor> tensors) => _toSave = tensors;
            public void save_data(string key, object value) => _data[key] = value;
            public void set_materialize_grads(bool value) => MaterializeGrads = value;
            public object get_data(string key) => _data.GetValueOrDefault(key);

            public List<Tensor> get_saved_variables()
            {
                if (_node == 0) return [];
                var handles = new nint[tss_node_saved_count(_node)];
                fixed (nint* p = handles) Check(tss_node_saved(_node, p));
                return [.. handles.Select(h => h == 0 ? null : new Tensor(h))];
            }

            internal void Save(nint node)
            {
                _node = node;
                fixed (nint* p = Handles(_toSave)) Check(tss_node_save(node, p, _toSave.Count));
                _toSave = [];
            }

            public void Dispose() => Dispose(true);

            protected virtual void Dispose(bool disposing) => _node = 0;
        }

        /// <summary>An operator with a backward of its own.</summary>
        public abstract class Function<T> where T : Function<T>, new()
        {
            private static readonly T s_instance = new();

            public abstract string Name { get; }

            internal abstract List<Tensor> forward_internal(AutogradContext ctx, params object[] vars);
            internal abstract List<Tensor> backward_internal(AutogradContext ctx, List<Tensor> grad_outputs);

            public static List<Tensor> apply_internal(params object[] vars)
            {
                var isTensor = Array.ConvertAll(vars, v => v is Tensor t && !t.IsInvalid);
                List<Tensor> inputs = [.. vars.OfType<Tensor>().Where(t => !t.IsInvalid)];
                var call = new Call(new AutogradContext(), isTensor);
                var inputHandles = Handles(inputs);
                if (is_grad_enabled() && inputs.Any(t => t.requires_grad)) call.Open(inputHandles);
                try
                {
                    List<Tensor> outputs;
                    using (no_grad()) outputs = s_instance.forward_internal(call.Context, vars);
                    var results = call.Wrap(inputHandles, outputs);
                    if (call.Node != 0) call.Context.Save(call.Node);
                    return results;
                }
                finally
                {
                    if (call.Node != 0) tss_node_drop(call.Node);
                    GC.KeepAlive(inputs);
                }
            }

            /// <summary>One application; while the graph holds its node, the node holds this.</summary>
            private sealed class Call(AutogradContext context, bool[] isTensor) : Applied
            {
                public AutogradContext Context => context;
                public nint Node { get; private set; }

                public void Open(nint[] inputs)
                {
                    fixed (nint* p = inputs) Node = Check(tss_node_new(Half(this), p, inputs.Length));
                }

                public List<Tensor> Wrap(nint[] inputs, List<Tensor> outputs)
                {
                    var results = new nint[outputs.Count];
                    fixed (nint* i = inputs, d = Handles(context.Dirty), f = Handles(context.NonDifferentiable), o = Handles(outputs), r = results)
                        Check(tss_node_wrap(Node, i, inputs.Length, d, context.Dirty.Count, f, context.NonDifferentiable.Count, o, outputs.Count, r));
                    return [.. results.Select(h => h == 0 ? null : new Tensor(h))];
                }

                public override Tensor[] Backward(Tensor[] grads)
                {
                    // TorchSharp makes zeros like the gradient that is not there.
                    if (context.MaterializeGrads && grads.Any(g => g.IsInvalid)) throw new InvalidOperationException("Tensor invalid -- empty handle.");

                    var given = s_instance.backward_internal(context, [.. grads]);
                    if (given.Count > isTensor.Length && given.Skip(isTensor.Length).All(g => g is null)) given = given.GetRange(0, isTensor.Length);
                    if (given.Count != isTensor.Length)
                        throw new NotImplementedException($"Function {s_instance.Name} returned an incorrect number of gradients (expected {isTensor.Length}), got {given.Count}");
                    for (int i = 0; i < given.Count; i++)
                        if (!isTensor[i] && given[i] is not null)
                            throw new NotImplementedException($"Function {s_instance.Name} returned a gradient different that is defined at position {i + 1}, but the corresponding forward input was not a Tensor");
                    return [.. given.Where((_, i) => isTensor[i])];
                }

                public override void Release() => context.Dispose();
            }
        }

        /// <summary>The native node's way back into C#.</summary>
        internal abstract class Applied
        {
            [ThreadStatic] private static nint t_failure;

            public abstract Tensor[] Backward(Tensor[] grads);

            public abstract void Release();

            protected static ManagedHalf Half(Applied call) => new() { Context = GCHandle.ToIntPtr(GCHandle.Alloc(call)), Apply = &Apply, Release = &Free };

            [UnmanagedCallersOnly]
            private static byte* Apply(nint context, nint* grads, int n, nint* results, int m)
            {
                try
                {
                    var tensors = new Tensor[n];
                    for (int i = 0; i < n; i++) tensors[i] = new Tensor(grads[i]);
                    var given = ((Applied)GCHandle.FromIntPtr(context).Target).Backward(tensors);
                    for (int i = 0; i < m; i++) results[i] = given[i] is null ? 0 : given[i].Retained();
                    return null;
                }
                catch (Exception e)
                {
                    Marshal.FreeCoTaskMem(t_failure);
                    return (byte*)(t_failure = Marshal.StringToCoTaskMemUTF8(e.ToString()));
                }
            }

            [UnmanagedCallersOnly]
            private static void Free(nint context)
            {
                var handle = GCHandle.FromIntPtr(context);
                ((Applied)handle.Target).Release();
                handle.Free();
            }
        }

        public abstract class SingleTensorFunction<T> : Function<T> where T : SingleTensorFunction<T>, new()
        {
            public static Tensor apply(params object[] vars) => apply_internal(vars)[0];

            public abstract Tensor forward(AutogradContext ctx, params object[] vars);
            public abstract List<Tensor> backward(AutogradContext ctx, Tensor grad_output);

            internal sealed override List<Tensor> forward_internal(AutogradContext ctx, params object[] vars) => [forward(ctx, vars)];
            internal sealed override List<Tensor> backward_internal(AutogradContext ctx, List<Tensor> grad_outputs) => backward(ctx, grad_outputs[0]);
        }

        public abstract class MultiTensorFunction<T> : Function<T> where T : MultiTensorFunction<T>, new()
        {
            public static List<Tensor> apply(params object[] vars) => apply_internal(vars);

            public abstract List<Tensor> forward(AutogradContext ctx, params object[] vars);
            public abstract List<Tensor> backward(AutogradContext ctx, List<Tensor> grad_outputs);

            internal sealed override List<Tensor> forward_internal(AutogradContext ctx, params object[] vars) => forward(ctx, vars);
            internal sealed override List<Tensor> backward_internal(AutogradContext ctx, List<Tensor> grad_outputs) => backward(ctx, grad_outputs);
        }
    }
}
