namespace Microsoft.ML.Diffusion;

/// <summary>A name for several modules: gives their parameters a common prefix.</summary>
internal sealed class ModuleGroup() : nn.Module(nameof(ModuleGroup))
{
    private readonly Dictionary<string, ModuleGroup> _groups = [];

    /// <summary>Puts a module at a dotted path, making the groups on the way.</summary>
    public T Add<T>(string path, T module) where T : nn.Module
    {
        int dot = path.IndexOf('.', StringComparison.Ordinal);
        if (dot < 0)
        {
            register_module(path, module);
            return module;
        }
        string head = path[..dot];
        if (!_groups.TryGetValue(head, out ModuleGroup? group))
        {
            group = new();
            _groups.Add(head, group);
            register_module(head, group);
        }
        return group.Add(path[(dot + 1)..], module);
    }
}
