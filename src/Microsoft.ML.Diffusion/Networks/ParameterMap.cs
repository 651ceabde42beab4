namespace Microsoft.ML.Diffusion;

/// <summary>A tensor of a reference system's weight file.</summary>
/// <param name="Name">Its name there.</param>
/// <param name="Shape">Its shape there.</param>
internal readonly record struct ReferenceParameter(string Name, long[] Shape);

/// <summary>
/// How one of our parameters is written in a reference system: the parts, one below the other along the first dimension, each reshaped to ours.
/// </summary>
/// <param name="Name">Our name.</param>
/// <param name="Shape">Our shape.</param>
/// <param name="Parts">The tensors there; one, or queries, keys and values apart.</param>
/// <param name="InterleavedHeads">
/// 0, or the number of heads where the reference has, head by head, queries, keys and values (improved-diffusion), and we have all queries, all keys, all values.
/// </param>
internal sealed record ParameterLink(string Name, long[] Shape, ReferenceParameter[] Parts, int InterleavedHeads = 0)
{
    /// <summary>Ours from theirs.</summary>
    /// <param name="parts">A tensor for each of <see cref="Parts"/>, in the reference's shapes.</param>
    /// <returns>A new tensor in our shape.</returns>
    public Tensor FromReference(IReadOnlyList<Tensor> parts)
    {
        using var scope = NewDisposeScope();
        long[] partShape = [Shape[0] / Parts.Length, .. Shape[1..]];
        Tensor whole = cat(parts.Select(part => part.reshape(partShape)).ToArray(), 0);
        if (InterleavedHeads > 0)
            whole = whole.reshape(InterleavedHeads, 3, -1).transpose(0, 1).reshape(Shape);
        return whole.clone().MoveToOuterDisposeScope();
    }

    /// <summary>Theirs from ours.</summary>
    /// <param name="ours">A tensor in our shape: the parameter or its gradient.</param>
    /// <returns>New tensors, one for each of <see cref="Parts"/>.</returns>
    public Tensor[] ToReference(Tensor ours)
    {
        using var scope = NewDisposeScope();
        Tensor whole = ours.detach();
        if (InterleavedHeads > 0)
            whole = whole.reshape(3, InterleavedHeads, -1).transpose(0, 1).reshape(Shape);
        long rows = Shape[0] / Parts.Length;
        var parts = new Tensor[Parts.Length];
        for (int i = 0; i < parts.Length; i++)
            parts[i] = whole.narrow(0, i * rows, rows).reshape(Parts[i].Shape).clone().MoveToOuterDisposeScope();
        return parts;
    }
}

/// <summary>
/// The names of a network's parameters in a reference system, both ways. See <see cref="ParameterNames"/> for the systems.
/// </summary>
internal sealed class ParameterMap
{
    /// <summary>Makes a map.</summary>
    /// <param name="system">The reference system, for messages.</param>
    /// <param name="links">One link for each of our parameters.</param>
    public ParameterMap(string system, IReadOnlyList<ParameterLink> links)
    {
        Reference = system;
        Links = links;
    }

    /// <summary>The reference system, for messages.</summary>
    public string Reference { get; }

    /// <summary>One link for each of our parameters, in the network's order.</summary>
    public IReadOnlyList<ParameterLink> Links { get; }

    /// <summary>All tensors of the reference's weight file.</summary>
    public IEnumerable<ReferenceParameter> ReferenceParameters => Links.SelectMany(link => link.Parts);

    /// <summary>Sets a network's weights from a reference's.</summary>
    /// <param name="network">The network; its parameters keep their identity, device and type.</param>
    /// <param name="names">The names that the source has.</param>
    /// <param name="load">Gives the tensor of a name; each is asked for once and disposed here.</param>
    /// <param name="source">What the source is called in messages, usually a file name.</param>
    /// <exception cref="InvalidDataException">Tensors are missing, superfluous or of another shape; the message names them. The network is then unchanged, unless a shape was wrong.</exception>
    public void Load(DenoisingNetwork network, IReadOnlyCollection<string> names, Func<string, Tensor> load, string source)
    {
        CheckNames(names, source);
        var parameters = network.named_parameters().ToDictionary(entry => entry.name, entry => entry.parameter);
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        foreach (ParameterLink link in Links)
        {
            var parts = new Tensor[link.Parts.Length];
            for (int i = 0; i < parts.Length; i++)
            {
                parts[i] = load(link.Parts[i].Name);
                CheckShape(link.Parts[i], parts[i], source);
            }
            using (Tensor value = link.FromReference(parts))
                parameters[link.Name].copy_(value);
            foreach (Tensor part in parts)
                part.Dispose();
        }
    }

    /// <summary>A network's weights as the reference would write them.</summary>
    /// <param name="network">The network.</param>
    /// <returns>Names and new tensors, on the network's device; the caller disposes them.</returns>
    public IEnumerable<(string Name, Tensor Tensor)> Export(DenoisingNetwork network)
    {
        var parameters = network.named_parameters().ToDictionary(entry => entry.name, entry => entry.parameter);
        foreach (ParameterLink link in Links)
        {
            Tensor[] parts = link.ToReference(parameters[link.Name]);
            for (int i = 0; i < parts.Length; i++)
                yield return (link.Parts[i].Name, parts[i]);
        }
    }

    private void CheckNames(IReadOnlyCollection<string> names, string source)
    {
        var there = names.ToHashSet();
        var wanted = ReferenceParameters.Select(parameter => parameter.Name).ToHashSet();
        string[] missing = [.. wanted.Where(name => !there.Contains(name))];
        string[] unexpected = [.. there.Where(name => !wanted.Contains(name))];
        if (missing.Length == 0 && unexpected.Length == 0)
            return;
        throw new InvalidDataException(
            $"The weights in {source} are not those of this network in {Reference}'s names." +
            (missing.Length > 0 ? $" Missing: {Some(missing)}." : "") +
            (unexpected.Length > 0 ? $" Not expected: {Some(unexpected)}." : "") +
            " Check that the network's options are those that the weights were trained with.");
    }

    private static void CheckShape(ReferenceParameter parameter, Tensor tensor, string source)
    {
        if (!tensor.shape.AsSpan().SequenceEqual(parameter.Shape))
            throw new InvalidDataException(
                $"Tensor {parameter.Name} in {source} has shape [{string.Join(", ", tensor.shape)}]; this network needs [{string.Join(", ", parameter.Shape)}]. " +
                "Check that the network's options are those that the weights were trained with.");
    }

    private static string Some(string[] names) =>
        names.Length <= 5 ? string.Join(", ", names) : $"{string.Join(", ", names[..5])} and {names.Length - 5} more";
}
