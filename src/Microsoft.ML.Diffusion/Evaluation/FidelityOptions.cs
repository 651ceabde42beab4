namespace Microsoft.ML.Diffusion;

/// <summary>How two sets of feature vectors are compared. The defaults are the published ones.</summary>
public sealed record FidelityOptions
{
    /// <summary>k of precision, recall, density and coverage, 1 or more. 3 in Kynkäänniemi et al. 2019, 5 in Naeem et al. 2020.</summary>
    public int Neighbors { get; init => field = AtLeast(1, value, nameof(Neighbors)); } = 5;

    /// <summary>On how many random subsets the kernel distance is estimated, 2 or more.</summary>
    public int KernelSubsets { get; init => field = AtLeast(2, value, nameof(KernelSubsets)); } = 100;

    /// <summary>Rows in a subset, 2 or more; fewer where a set has not so many.</summary>
    public int KernelSubsetSize { get; init => field = AtLeast(2, value, nameof(KernelSubsetSize)); } = 1000;

    /// <summary>
    /// The kernel distance and the neighbour metrics look at no more rows of each set than this, chosen at random: memory and, squared, time. The Fréchet distance takes every row.
    /// </summary>
    public int MaximumRows { get; init => field = AtLeast(2, value, nameof(MaximumRows)); } = 10_000;

    /// <summary>Seeds the choice of rows and subsets.</summary>
    public int Seed { get; init; } = 1;

    private static int AtLeast(int least, int value, string name)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, least, name);
        return value;
    }
}
