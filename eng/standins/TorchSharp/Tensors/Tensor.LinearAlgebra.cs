using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Products and factorisations.</summary>
    public partial class Tensor
    {
        public Tensor matmul(Tensor target) => Ops.matmul.Call(this, target);
    }
}
