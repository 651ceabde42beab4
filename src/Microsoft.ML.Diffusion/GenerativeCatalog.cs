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
    /// <remarks>
    /// <list type="table">
    /// <listheader><term>Column</term><description>Type</description></listheader>
    /// <item><term>Image, in</term><description>MLImage of one size, or a vector of Single, Double or Byte with dimensions (channels, height, width),
    /// (height, width, channels) or (height, width); 1, 3 or 4 channels.</description></item>
    /// <item><term>Label, in, optional</term><description>Key, as <c>MapValueToKey</c> gives; missing: no particular class.</description></item>
    /// <item><term>Seed, in when generating, optional</term><description>A scalar whole number; without it a row's id decides.</description></item>
    /// <item><term>Image, out</term><description>The type of the column that was trained on. Key names and every other column pass through.</description></item>
    /// </list>
    /// <para>Vectors hold values from 0 (black) to 255 (white), pictures are taken in colour; the overload with options changes that.</para>
    /// </remarks>
    /// <param name="imageColumnName">The images to learn from; see <see cref="DdpmTrainer"/> for the types.</param>
    /// <param name="labelColumnName">A key column with each image's class; null for an unconditional model.</param>
    /// <param name="network">The network; null for <see cref="UNetOptions.Compact"/>.</param>
    /// <param name="maximumSteps">Optimizer steps.</param>
    /// <exception cref="ArgumentException">A parameter is nonsensical; the message names it.</exception>
    /// <exception cref="InvalidOperationException">The application brings no libtorch, or another version; the message names the package to add.</exception>
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
    /// <remarks>
    /// <list type="table">
    /// <listheader><term>Column</term><description>Type</description></listheader>
    /// <item><term>Image, in</term><description>MLImage of one size, or a vector of Single, Double or Byte with dimensions (channels, height, width),
    /// (height, width, channels) or (height, width); 1, 3 or 4 channels.</description></item>
    /// <item><term>Label, in, optional</term><description>Key, as <c>MapValueToKey</c> gives; missing: no particular class.</description></item>
    /// <item><term>Seed, in when generating, optional</term><description>A scalar whole number; without it a row's id decides.</description></item>
    /// <item><term>Image, out</term><description>The type of the column that was trained on. Key names and every other column pass through.</description></item>
    /// </list>
    /// <para>What an option leaves null follows the recipe of its network, the hyper-parameters of the cited paper.</para>
    /// </remarks>
    /// <param name="options">The trainer's options; copied.</param>
    /// <exception cref="ArgumentNullException"><paramref name="options"/> is null.</exception>
    /// <exception cref="ArgumentException">An option is nonsensical; the message names it.</exception>
    /// <exception cref="InvalidOperationException">The application brings no libtorch, or another version; the message names the package to add.</exception>
    public DdpmTrainer Ddpm(DdpmTrainer.Options options)
    {
        var trainer = new DdpmTrainer(_context, options);
        LibTorch.EnsureLoaded();
        return trainer;
    }

    /// <summary>Loads an IDX file of images, such as MNIST's and Fashion-MNIST's, with its labels.</summary>
    /// <param name="imagesPath">An IDX file of bytes, [rows, height, width] or with channels, plain or gzipped.</param>
    /// <param name="labelsPath">An IDX file of one byte a row; null for none.</param>
    /// <param name="options">Padding, values and class names; null for the file's own bytes.</param>
    /// <returns>Columns Image, a vector, and Label, a key.</returns>
    /// <exception cref="FileNotFoundException">A file is missing.</exception>
    /// <exception cref="InvalidDataException">A file is not IDX, is cut short, or the two do not belong together.</exception>
    public IDataView LoadIdx(string imagesPath, string? labelsPath = null, IdxOptions? options = null) => IdxLoader.Load(imagesPath, labelsPath, options);

    /// <summary>Lists a folder of PNG and JPEG files, ready for <c>LoadImages</c> and <c>ResizeImages</c>.</summary>
    /// <param name="folder">Pictures themselves, for an unconditional model, or one sub-folder a class.</param>
    /// <returns>Columns ImagePath, text, and, where there are sub-folders, Label, a key.</returns>
    /// <exception cref="DirectoryNotFoundException">There is no such folder.</exception>
    /// <exception cref="InvalidDataException">There are no pictures, or one is unreadable.</exception>
    public IDataView LoadImageFolder(string folder) => ImageFolder.Load(folder);

    /// <summary>Compares generated with real rows by any feature vector: Fréchet distance, kernel distance, precision, recall, density and coverage.</summary>
    /// <param name="real">Rows of the data.</param>
    /// <param name="generated">Rows that a model made.</param>
    /// <param name="featureColumnName">A vector of Single or Double with a known length, from the same extractor in both.</param>
    /// <returns>The metrics, with the counts that they come from.</returns>
    /// <exception cref="ArgumentException">A column is missing or of the wrong type, or the lengths differ.</exception>
    /// <exception cref="InvalidOperationException">There are too few rows for so many features, or a value is not finite.</exception>
    public FidelityMetrics EvaluateFidelity(IDataView real, IDataView generated, string featureColumnName = "Features") =>
        FidelityEvaluator.Evaluate(real, generated, featureColumnName);

    /// <summary>Compares generated with real rows by any feature vector: Fréchet distance, kernel distance, precision, recall, density and coverage.</summary>
    /// <param name="real">Rows of the data.</param>
    /// <param name="generated">Rows that a model made.</param>
    /// <param name="featureColumnName">A vector of Single or Double with a known length, from the same extractor in both.</param>
    /// <param name="options">Neighbours, subsets and bounds.</param>
    /// <returns>The metrics, with the counts that they come from.</returns>
    /// <exception cref="ArgumentException">A column is missing or of the wrong type, or the lengths differ.</exception>
    /// <exception cref="InvalidOperationException">There are too few rows for so many features, or a value is not finite.</exception>
    public FidelityMetrics EvaluateFidelity(IDataView real, IDataView generated, string featureColumnName, FidelityOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return FidelityEvaluator.Evaluate(real, generated, featureColumnName, options);
    }

    /// <summary>Evaluates the variational bound on the negative log likelihood, in bits per dimension, with its curve over the timesteps (Ho et al. 2020, equation 5).</summary>
    /// <param name="model">A <see cref="DdpmTransformer"/>, or a chain with one in it, whose members before it prepare the data.</param>
    /// <param name="data">Images, and classes where the model has them, as it was trained on.</param>
    /// <returns>The bound: its terms and their sum.</returns>
    /// <exception cref="ArgumentException">There is no such model, or a column does not hold the model's images.</exception>
    /// <exception cref="InvalidOperationException">There are no rows, or a row's image cannot be read.</exception>
    public LikelihoodMetrics EvaluateLikelihood(ITransformer model, IDataView data) => EvaluateLikelihood(model, data, new LikelihoodOptions());

    /// <summary>Evaluates the variational bound on the negative log likelihood, in bits per dimension, with its curve over the timesteps (Ho et al. 2020, equation 5).</summary>
    /// <param name="model">A <see cref="DdpmTransformer"/>, or a chain with one in it, whose members before it prepare the data.</param>
    /// <param name="data">Images, and classes where the model has them, as it was trained on.</param>
    /// <param name="options">How many rows and timesteps, in which batches.</param>
    /// <returns>The bound: its terms and their sum.</returns>
    /// <exception cref="ArgumentException">There is no such model, or a column does not hold the model's images.</exception>
    /// <exception cref="InvalidOperationException">There are no rows, or a row's image cannot be read.</exception>
    /// <exception cref="OperationCanceledException"><see cref="LikelihoodOptions.CancellationToken"/> was cancelled.</exception>
    public LikelihoodMetrics EvaluateLikelihood(ITransformer model, IDataView data, LikelihoodOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(options);
        return DdpmLikelihood.Evaluate(model, data, options);
    }
}
