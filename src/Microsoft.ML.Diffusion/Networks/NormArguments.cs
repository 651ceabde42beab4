namespace Microsoft.ML.Diffusion;

/// <summary>A group norm and what follows it, handed to the operator that runs it or that it is fused into. The tensors belong to others.</summary>
/// <param name="Weight">[C]; on a GPU also [N·C], row after row, where each image has its own.</param>
/// <param name="Bias">Likewise.</param>
/// <param name="Film">[N or 1, 2C], FiLM's scales and then its shifts; or null.</param>
/// <param name="Settings">The settings.</param>
internal sealed record NormArguments(Tensor Weight, Tensor Bias, Tensor? Film, NormSettings Settings);
