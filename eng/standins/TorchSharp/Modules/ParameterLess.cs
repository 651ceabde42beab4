using TorchSharp.Modules;
using F = TorchSharp.torch.nn.functional;

namespace TorchSharp
{
    public static partial class torch
    {
        public static partial class nn
        {
            public static SiLU SiLU() => new(false);
            public static Identity Identity() => new();
        }
    }
}

namespace TorchSharp.Modules
{
    public interface IParameterLessModule
    {
    }

    /// <summary>A module that refuses components, and that moving passes by.</summary>
    public abstract class ParameterLessModule<T1, TResult> : torch.nn.Module<T1, TResult>, IParameterLessModule
    {
        protected ParameterLessModule(string name) : base(name) { }

        protected internal override torch.nn.Module _to(torch.Device device, torch.ScalarType dtype, bool non_blocking) => this;
        protected internal override torch.nn.Module _to(DeviceType deviceType, int deviceIndex, bool non_blocking) => this;
        protected internal override torch.nn.Module _to(torch.ScalarType dtype, bool non_blocking) => this;

        public override void register_buffer(string name, torch.Tensor tensor, bool persistent = true) =>
            throw new InvalidOperationException("Cannot register a buffer on a module that is declared 'parameter-less.'");

        public override void register_parameter(string name, Parameter param) =>
            throw new InvalidOperationException("Cannot register a parameter on a module that is declared 'parameter-less.'");

        public override void register_module(string name, torch.nn.Module submodule)
        {
            if (submodule is not IParameterLessModule) throw new InvalidOperationException("Submodules of a parameter-less module must also be parameter-less.");
            base.register_module(name, submodule);
        }
    }

    public sealed class SiLU : ParameterLessModule<torch.Tensor, torch.Tensor>
    {
        internal SiLU(bool inplace) : base(nameof(SiLU)) => this.inplace = inplace;

        public bool inplace { get; set; }

        public override torch.Tensor forward(torch.Tensor tensor) => F.silu(tensor, inplace);
    }

    public sealed class Identity : ParameterLessModule<torch.Tensor, torch.Tensor>
    {
        internal Identity() : base(nameof(Identity)) { }

        public override torch.Tensor forward(torch.Tensor tensor) => tensor.alias();
    }
}
