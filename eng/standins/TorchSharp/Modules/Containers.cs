using System.Collections;
using System.Runtime.CompilerServices;
using TorchSharp.Modules;

namespace TorchSharp
{
    public static partial class torch
    {
        public static partial class nn
        {
            public static Sequential Sequential(params (string name, Module<Tensor, Tensor> submodule)[] modules) => new(modules);
            public static ModuleList<T> ModuleList<T>(params T[] modules) where T : Module => new(modules);
        }
    }
}

namespace TorchSharp.Modules
{
    /// <summary>Calls one module after the other, and disposes what passes between them.</summary>
    public class Sequential : torch.nn.Module<torch.Tensor, torch.Tensor>
    {
        private readonly List<(string Name, torch.nn.IModule<torch.Tensor, torch.Tensor> Call)> _modules = [];

        protected internal Sequential(params (string name, torch.nn.Module<torch.Tensor, torch.Tensor> submodule)[] modules) : base(nameof(Sequential))
        {
            foreach (var (name, m) in modules) append(name, m);
        }

        public int Count => _modules.Count;

        [IndexerName("SequentialItems")]
        public torch.nn.IModule<torch.Tensor, torch.Tensor> this[int index] => _modules[index].Call;

        public Sequential append(string name, torch.nn.IModule<torch.Tensor, torch.Tensor> module)
        {
            _modules.Add((name, module));
            return this;
        }

        private IEnumerable<torch.nn.Module> Modules => _modules.Select(m => (torch.nn.Module)m.Call);

        public override IEnumerable<(string name, Parameter parameter)> named_parameters(bool recurse = true)
        {
            var seen = new HashSet<nint> { 0 };
            if (!recurse) yield break;
            foreach (var (module, m) in named_children())
                foreach (var (name, p) in m.named_parameters(true))
                    if (seen.Add(p.handle)) yield return ($"{module}.{name}", p);
        }

        public override IEnumerable<(string name, torch.Tensor buffer)> named_buffers(bool recurse = true, bool include_persistent = true)
        {
            var seen = new HashSet<nint> { 0 };
            if (!recurse) yield break;
            foreach (var (module, m) in named_children())
                foreach (var (name, b) in m.named_buffers(true, include_persistent))
                    if (seen.Add(b.handle)) yield return ($"{module}.{name}", b);
        }

        public override IEnumerable<(string name, torch.nn.Module module)> named_children() => _modules.Select(m => (m.Name, (torch.nn.Module)m.Call));

        public override IEnumerable<(string name, torch.nn.Module module)> named_modules()
        {
            foreach (var own in named_children()) yield return own;
            foreach (var (module, m) in named_children())
                foreach (var (name, inner) in m.named_modules()) yield return ($"{module}.{name}", inner);
        }

        public override torch.Tensor forward(torch.Tensor tensor)
        {
            if (Count == 0) return tensor.alias();
            var x = this[0].call(tensor);
            for (int i = 1; i < Count; i++)
            {
                var next = this[i].call(x);
                x.Dispose();
                x = next;
            }
            return x;
        }

        public override torch.nn.Module apply(Action<torch.nn.Module> fn)
        {
            foreach (var m in Modules) m.apply(fn);
            fn(this);
            return this;
        }

        protected internal override torch.nn.Module _to(torch.ScalarType dtype, bool non_blocking)
        {
            foreach (var m in Modules) m._to(dtype, non_blocking);
            return this;
        }

        protected internal override torch.nn.Module _to(torch.Device device, torch.ScalarType dtype, bool non_blocking)
        {
            foreach (var m in Modules) m._to(device, dtype, non_blocking);
            return this;
        }

        protected internal override torch.nn.Module _to(DeviceType deviceType, int deviceIndex, bool non_blocking)
        {
            foreach (var m in Modules) m._to(deviceType, deviceIndex, non_blocking);
            return this;
        }
    }

    /// <summary>A list whose items become components when the list is registered; later ones do not.</summary>
    public class ModuleList<T> : torch.nn.Module, IList<T> where T : torch.nn.Module
    {
        private readonly List<T> _list = [];
        private bool _done;

        public ModuleList(params T[] modules) : base(nameof(ModuleList<T>)) => _list.AddRange(modules ?? []);

        protected override void RegisterComponents()
        {
            if (_done) return;
            for (int i = 0; i < _list.Count; i++) register_module($"{i}", _list[i]);
            _done = true;
        }

        public T this[int index] { get => _list[index]; set => _list[index] = value; }
        public int Count => _list.Count;
        public bool IsReadOnly => false;
        public void Add(T item) => _list.Add(item);
        public void Clear() => _list.Clear();
        public bool Contains(T item) => _list.Contains(item);
        public void CopyTo(T[] array, int arrayIndex) => _list.CopyTo(array, arrayIndex);
        public int IndexOf(T item) => _list.IndexOf(item);
        public void Insert(int index, T item) => _list.Insert(index, item);
        public bool Remove(T item) => _list.Remove(item);
        public void RemoveAt(int index) => _list.RemoveAt(index);
        public IEnumerator<T> GetEnumerator() => _list.GetEnumerator();
        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
    }
}
