namespace Microsoft.ML.Diffusion;

/// <summary>What a saved model is made of.</summary>
/// <param name="Config">A JSON object: everything but the weights, in the caller's own shape.</param>
/// <param name="Weights">The weights that generate (the moving average), by the names of the network's state; they stay the caller's.</param>
internal sealed record DdpmModelDocument(string Config, IEnumerable<(string Name, Tensor Tensor)> Weights);
