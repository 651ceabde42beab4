using System.Reflection;
using TorchSharp.Modules;
using TorchSharp.Utils;

namespace TorchSharp;

public static partial class torch
{
    public static partial class nn
    {
        /// <summary>A tree of modules with parameters and buffers; all of it managed here, where the package keeps a native half.</summary>
        public partial class Module : IDisposable
        {
            private bool _registered, _disposed, _training = true;

            protected DeviceType _deviceType = DeviceType.CPU;
            protected int _deviceIndex = -1;
            protected OrderedDict<string, Module> _internal_submodules = new();
            protected OrderedDict<string, (Tensor, bool)> _internal_buffers = new();
            protected OrderedDict<string, Parameter> _internal_params = new();
            protected string name;

            protected Module(string name) => this.name = name;

            ~Module() => Dispose(false);

            public void Dispose()
            {
                Dispose(true);
                GC.SuppressFinalize(this);
            }

            protected virtual void Dispose(bool disposing)
            {
                if (!disposing || _disposed) return;
                foreach (var (_, b) in named_buffers(false).ToList()) b.DetachFromDisposeScope().Dispose();
                foreach (var (_, p) in named_parameters(false).ToList()) p.DetachFromDisposeScope().Dispose();
                foreach (var (_, m) in named_modules().ToList()) m.Dispose();
                _disposed = true;
            }

            public virtual bool training => _training;

            public virtual void train(bool train = true)
            {
                _training = train;
                foreach (var (_, m) in named_children()) m.train(train);
            }

            public virtual void eval() => train(false);

            public virtual Module apply(Action<Module> fn)
            {
                foreach (var (_, m) in _internal_submodules) m.apply(fn);
                fn(this);
                return this;
            }

            /// <summary>Fields become components under their names, unless a component of that name is there already.</summary>
            protected virtual void RegisterComponents()
            {
                if (_registered) return;
                foreach (var field in Fields())
                {
                    string component = field.ComponentName();
                    if (_internal_submodules.ContainsKey(component) || _internal_params.ContainsKey(component) || _internal_buffers.ContainsKey(component)) continue;
                    switch (field.GetValue(this))
                    {
                        case Module module: register_module(component, module); break;
                        case Parameter parameter: register_parameter(component, parameter); break;
                        case Tensor tensor: register_buffer(component, tensor); break;
                    }
                }
                _registered = true;
            }

            private IEnumerable<FieldInfo> Fields()
            {
                var seen = new HashSet<string>();
                for (var type = GetType(); type is not null && type != typeof(object); type = type.BaseType)
                    foreach (var field in type.GetFields(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance))
                        if (seen.Add(field.Name)) yield return field;
            }

            public virtual void register_buffer(string name, Tensor tensor, bool persistent = true)
            {
                if (tensor is null || tensor.IsInvalid) throw new ArgumentNullException(nameof(tensor), "A null tensor cannot be registered as a buffer.");
                if (!_internal_buffers.TryAdd(name, (tensor, persistent))) throw new InvalidOperationException($"Tensor {name} is already registered.");
            }

            public virtual void register_parameter(string name, Parameter param)
            {
                if (param is null || param.IsInvalid) throw new ArgumentNullException(nameof(param), "A null tensor cannot be registered as a parameter.");
                if (!_internal_params.TryAdd(name, param)) throw new InvalidOperationException($"Parameter {name} is already registered.");
            }

            public virtual void register_module(string name, Module submodule)
            {
                if (submodule is null || submodule._disposed)
                {
                    _internal_submodules.Remove(name);
                    return;
                }
                if (name.Contains('.')) throw new ArgumentException($"module name can't contain \".\", got: {name}");
                if (name.Length == 0) throw new ArgumentException("module name can't be empty string \"\"");
                if (_internal_submodules.ContainsKey(name)) throw new InvalidOperationException($"Sub-module {name} is already registered.");
                submodule.RegisterComponents();
                _internal_submodules.Add(name, submodule);
            }

            protected void ConditionallyRegisterParameter(string name, Parameter value)
            {
                if (value is null) _internal_params.Remove(name);
                else _internal_params[name] = value;
            }

            protected void ConditionallyRegisterBuffer(string name, Tensor value, bool persistent = true)
            {
                if (value is null) _internal_buffers.Remove(name);
                else _internal_buffers[name] = (value, persistent);
            }

            internal T MoveModule<T>(Device device, ScalarType? dtype) where T : Module =>
                (T)(device is null ? dtype.HasValue ? _to(dtype.Value, false) : this : dtype.HasValue ? _to(device, dtype.Value, false) : _to(device.type, device.index, false));
        }
    }
}
