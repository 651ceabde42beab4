namespace Microsoft.ML.Diffusion;

/// <summary>What the learning rate does after its warm-up.</summary>
public enum LearningRateDecay
{
    /// <summary>Stays, as in Ho et al. 2020.</summary>
    None,

    /// <summary>Falls evenly to zero at the end of the training.</summary>
    Linear,

    /// <summary>Falls along half a cosine to zero at the end of the training (Loshchilov and Hutter 2017).</summary>
    Cosine,
}
