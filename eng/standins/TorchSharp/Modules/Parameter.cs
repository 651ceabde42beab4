namespace TorchSharp.Modules;

/// <summary>A leaf that a module trains.</summary>
public class Parameter : torch.Tensor
{
    /// <summary>Takes the native tensor over: <paramref name="data"/> is empty afterwards, and its place in its scope is the parameter's.</summary>
    public Parameter(torch.Tensor data, bool requires_grad = true) : base(data.with_requires_grad(requires_grad).MoveHandle(), false) =>
        data.OwningDisposeScope?.Replace(data, this);

    internal Parameter(nint handle, bool register = true) : base(handle, register) { }
}
