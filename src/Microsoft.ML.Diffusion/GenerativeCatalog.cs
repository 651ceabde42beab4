using System.Runtime.CompilerServices;
using Microsoft.ML.Diffusion;

namespace Microsoft.ML;

/// <summary>Gives every <see cref="MLContext"/> its generative catalog.</summary>
public static class GenerativeCatalogExtensions
{
    private static readonly ConditionalWeakTable<MLContext, GenerativeCatalog> Catalogs = [];

    extension(MLContext mlContext)
    {
        /// <summary>Trainers and operations for generative models.</summary>
        public GenerativeCatalog Generative => Catalogs.GetValue(mlContext, context => new GenerativeCatalog(context));
    }
}

/// <summary>Trainers and operations for generative models: <c>mlContext.Generative</c>.</summary>
public sealed class GenerativeCatalog
{
    private readonly MLContext _context;

    internal GenerativeCatalog(MLContext context) => _context = context;

    /// <summary>Creates a <see cref="DdpmTrainer"/>, which learns to generate images like those of a column.</summary>
    /// <param name="imageColumnName">The images to learn from; see <see cref="DdpmTrainer"/> for the types.</param>
    /// <param name="labelColumnName">A key column with each image's class; null for an unconditional model.</param>
    /// <param name="network">The network; null for <see cref="UNetOptions.Compact"/>.</param>
    /// <param name="maximumSteps">Optimizer steps.</param>
    /// <exception cref="ArgumentException">A parameter is nonsensical; the message names it.</exception>
    public DdpmTrainer Ddpm(
        string imageColumnName = DdpmTrainer.DefaultImageColumnName, string? labelColumnName = null, UNetOptions? network = null, int maximumSteps = 5_000) =>
        Ddpm(new DdpmTrainer.Options
        {
            ImageColumnName = imageColumnName,
            LabelColumnName = labelColumnName,
            Network = network ?? UNetOptions.Compact,
            MaximumSteps = maximumSteps,
        });

    /// <summary>Creates a <see cref="DdpmTrainer"/>, which learns to generate images like those of a column.</summary>
    /// <param name="options">The trainer's options; copied.</param>
    /// <exception cref="ArgumentNullException"><paramref name="options"/> is null.</exception>
    /// <exception cref="ArgumentException">An option is nonsensical; the message names it.</exception>
    public DdpmTrainer Ddpm(DdpmTrainer.Options options) => new(_context, options);
}
