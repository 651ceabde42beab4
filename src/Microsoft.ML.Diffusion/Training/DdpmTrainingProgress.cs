namespace Microsoft.ML.Diffusion;

/// <summary>How far a training is; reported after every step.</summary>
/// <param name="Step">Steps taken, from 1.</param>
/// <param name="TotalSteps">Steps that the whole training is expected to take.</param>
/// <param name="Epoch">Passes over the data begun, from 1.</param>
/// <param name="Loss">The loss of this step's batch.</param>
/// <param name="GradientNorm">The norm of this step's gradient before clipping; not finite where the step was skipped.</param>
/// <param name="LearningRate">The learning rate of this step.</param>
/// <param name="ImagesPerSecond">Images trained on per second, over the last steps.</param>
/// <param name="Elapsed">Time since the training began.</param>
/// <param name="TimeLeft">Time that the rest is expected to take.</param>
/// <param name="SkippedSteps">Steps so far whose gradient was not finite and that changed nothing.</param>
public sealed record DdpmTrainingProgress(
    int Step, int TotalSteps, int Epoch, double Loss, double GradientNorm, double LearningRate,
    double ImagesPerSecond, TimeSpan Elapsed, TimeSpan TimeLeft, int SkippedSteps);
