using TorchSharp.Modules;
using TorchSharp.Utils;

namespace TorchSharp
{
    public static partial class torch
    {
        public static partial class optim
        {
            public interface ILearningRateController
            {
                double LearningRate { get; set; }
                double InitialLearningRate { get; set; }
            }

            public interface IBetas
            {
                (double, double) Betas { get; set; }
            }

            public abstract class Optimizer : IDisposable
            {
                protected IList<ParamGroup> _parameter_groups;

                protected Optimizer(nint handle) { }

                ~Optimizer() => Dispose(false);

                public void Dispose()
                {
                    Dispose(true);
                    GC.SuppressFinalize(this);
                }

                protected virtual void Dispose(bool disposing) { }

                public virtual void zero_grad() => throw new NotImplementedException();
                public virtual void add_param_group(ParamGroup param_group) => throw new NotImplementedException("add_param_group");
                public virtual Tensor step(Func<Tensor> closure = null) => throw new NotImplementedException();
                public virtual IEnumerable<Parameter> parameters() => throw new NotImplementedException();
            }
        }
    }
}

namespace TorchSharp.Modules
{
    /// <summary>An optimizer in managed code: groups of parameters and a state for each.</summary>
    public abstract class OptimizerHelper : torch.optim.Optimizer
    {
        protected OptimizerOptions _defaults;
        protected OrderedDict<nint, OptimizerState> _state = new();

        public OptimizerHelper() : base(0) { }

        public override IEnumerable<Parameter> parameters() => _parameter_groups.SelectMany(g => g.Parameters);

        public override void add_param_group(ParamGroup param_group) => _parameter_groups.Add(param_group);

        /// <summary>As in the package: gradients become zero, not null.</summary>
        public override void zero_grad()
        {
            foreach (var p in parameters())
            {
                using var grad = p.grad;
                grad?.zero_().Dispose();
            }
        }

        protected torch.Tensor _step<T>(Action<T> body, Func<torch.Tensor> loss_closure = null) where T : ParamGroup
        {
            torch.Tensor loss = null;
            if (loss_closure is not null)
                using (torch.enable_grad()) loss = loss_closure();
            using (torch.no_grad())
            using (torch.NewDisposeScope())
                foreach (var group in _parameter_groups) body(group as T);
            return loss;
        }
    }

    public class OptimizerOptions
    {
        public double? LearningRate { get; set; }
        public double InitialLearningRate { get; set; }

        public virtual void LoadStateDict(OptimizerOptions source) => (InitialLearningRate, LearningRate) = (source.InitialLearningRate, source.LearningRate);
    }

    public abstract class OptimizerState
    {
        protected Parameter _parameter;

        protected OptimizerState(Parameter parameter) => _parameter = parameter;

        public abstract void LoadStateDict(OptimizerState source);
        public abstract void Initialize(OptimizerOptions options);
        public virtual bool ApproximatelyEquals(OptimizerState other) => false;
        public virtual void to(torch.Device device) { }
    }

    public class ParamGroup : torch.optim.ILearningRateController
    {
        public IEnumerable<Parameter> Parameters { get; set; }
        public OptimizerOptions Options { get; set; }
        public double LearningRate { get => Options.LearningRate.Value; set => Options.LearningRate = value; }
        public double InitialLearningRate { get => Options.InitialLearningRate; set => Options.InitialLearningRate = value; }
    }

    public class ParamGroup<TOptions> : ParamGroup where TOptions : OptimizerOptions
    {
        public ParamGroup() { }

        public new TOptions Options { get => (TOptions)base.Options; set => base.Options = value; }
    }
}
