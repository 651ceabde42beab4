using TorchSharp.Modules;

namespace TorchSharp;

public static partial class torch
{
    public static partial class nn
    {
        /// <summary>What a module holds, by name; a tensor that is reached twice is listed once.</summary>
        public partial class Module
        {
            public virtual IEnumerable<(string name, Parameter parameter)> named_parameters(bool recurse = true)
            {
                var seen = new HashSet<nint> { 0 };
                foreach (var own in _internal_params)
                    if (seen.Add(own.Item2.handle)) yield return own;
                if (!recurse) yield break;
                foreach (var (module, m) in _internal_submodules)
                    foreach (var (name, p) in m.named_parameters(true))
                        if (seen.Add(p.handle)) yield return ($"{module}.{name}", p);
            }

            /// <summary>As in the package: a buffer that is not persistent is never listed.</summary>
            public virtual IEnumerable<(string name, Tensor buffer)> named_buffers(bool recurse = true, bool include_nonpersistent = true)
            {
                var seen = new HashSet<nint> { 0 };
                foreach (var (name, (b, persistent)) in _internal_buffers)
                    if (!seen.Contains(b.handle) && persistent)
                    {
                        seen.Add(b.handle);
                        yield return (name, b);
                    }
                if (!recurse) yield break;
                foreach (var (module, m) in _internal_submodules)
                    foreach (var (name, b) in m.named_buffers(true, include_nonpersistent))
                        if (seen.Add(b.handle)) yield return ($"{module}.{name}", b);
            }

            public virtual IEnumerable<(string name, Module module)> named_children() => _internal_submodules;

            public virtual IEnumerable<(string name, Module module)> named_modules()
            {
                foreach (var own in _internal_submodules) yield return own;
                foreach (var (module, m) in _internal_submodules)
                    foreach (var (name, inner) in m.named_modules())
                        yield return ($"{module}.{name}", inner);
            }

            public virtual IEnumerable<Parameter> parameters(bool recurse = true) => named_parameters(recurse).Select(p => p.parameter);
            public virtual IEnumerable<Module> modules() => named_modules().Select(m => m.module);
            public virtual bool has_parameter(string target) => get_parameter(target) is not null;

            public virtual Tensor get_buffer(string target)
            {
                ArgumentNullException.ThrowIfNull(target);
                return _internal_buffers.TryGetValue(target, out var own) ? own.Item1 : Child(target, out string rest)?.get_buffer(rest);
            }

            public virtual Parameter get_parameter(string target) =>
                _internal_params.TryGetValue(target, out var own) ? own : Child(target, out string rest)?.get_parameter(rest);

            private Module Child(string target, out string rest)
            {
                int dot = target.IndexOf('.');
                rest = target[(dot + 1)..];
                return dot < 0 ? null : named_children().FirstOrDefault(c => c.name == target[..dot]).module;
            }

            public virtual Dictionary<string, Tensor> state_dict(Dictionary<string, Tensor> destination = null, string prefix = null)
            {
                destination ??= [];
                string Key(string name) => string.IsNullOrEmpty(prefix) ? name : $"{prefix}.{name}";
                foreach (var (name, p) in named_parameters()) destination.TryAdd(Key(name), p);
                foreach (var (name, b) in named_buffers(include_nonpersistent: false)) destination.TryAdd(Key(name), b);
                foreach (var (name, m) in _internal_submodules) m.state_dict(destination, Key(name));
                return destination;
            }

            public virtual (IList<string> missing_keys, IList<string> unexpected_keyes) load_state_dict(Dictionary<string, Tensor> source, bool strict = true, IList<string> skip = null)
            {
                var destination = state_dict();
                var unexpected = source.Keys.Where(k => skip?.Contains(k) != true && !destination.ContainsKey(k)).ToList();
                var missing = destination.Keys.Where(k => skip?.Contains(k) != true && !source.ContainsKey(k)).ToList();
                if (strict && missing.Count + unexpected.Count > 0)
                    throw new InvalidOperationException("The loaded state_dict is not identical to the target dictionary.");
                using var _ = no_grad();
                foreach (var (key, value) in source)
                    if (skip?.Contains(key) != true && destination.TryGetValue(key, out var target)) target.copy_(value);
                return (missing, unexpected);
            }
        }
    }
}
