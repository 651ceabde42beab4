namespace Microsoft.ML.Diffusion;

/// <summary>
/// The gradients that an operator of ours hands to libtorch. TorchSharp passes them on by copies of the handles and leaves ours to the scope around the whole training step,
/// so that every gradient of a step would live to its end. Here they go when the next operator of the thread returns its own: by then libtorch has its copies.
/// </summary>
internal static class ReturnedGradients
{
    [ThreadStatic] private static List<Tensor>? s_previous;

    /// <summary>Takes gradients out of the operator's scope and frees those that were returned before.</summary>
    /// <param name="gradients">One for each input of the operator, null for none; in the current scope.</param>
    /// <returns>The same.</returns>
    public static List<Tensor> Pass(params Tensor?[] gradients)
    {
        foreach (var tensor in s_previous ?? [])
            tensor.Dispose();
        s_previous = [];
        foreach (var tensor in gradients)
        {
            if (tensor is not null)
                s_previous.Add(tensor.MoveToOuterDisposeScope());
        }
        return [.. gradients.Select(tensor => tensor!)];
    }
}
