using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// float32 on a GPU as it stands in the standard: libtorch takes convolutions in TF32, which has 10 bits of precision, unless it is told otherwise.
/// The switches are the process's: while anybody wants them off, they are off for all.
/// </summary>
internal static class PlainFloat32
{
    private static readonly Lock s_lock = new();
    private static int s_users;
    private static (bool Convolutions, bool Products) s_before;

    /// <summary>Switches TF32 off until the result is disposed.</summary>
    public static Use Enter()
    {
        lock (s_lock)
        {
            if (s_users++ == 0)
            {
                s_before = (backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32);
                (backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32) = (false, false);
            }
        }
        return new(isOn: true);
    }

    /// <summary>Ends it.</summary>
    internal readonly struct Use : IDisposable
    {
        private readonly bool _isOn;

        internal Use(bool isOn) => _isOn = isOn;

        /// <inheritdoc/>
        public void Dispose()
        {
            if (!_isOn)
                return;
            lock (s_lock)
            {
                if (--s_users == 0)
                    (backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32) = s_before;
            }
        }
    }
}
