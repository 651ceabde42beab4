using TorchSharp.Modules;

namespace TorchSharp
{
    public static partial class torch
    {
        public static partial class optim
        {
            public static AdamW AdamW(IEnumerable<Parameter> parameters, double lr = 0.001, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-08, double weight_decay = 0, bool amsgrad = false, bool maximize = false) =>
                new(parameters, lr, beta1, beta2, eps, weight_decay, amsgrad, maximize);
        }
    }
}

namespace TorchSharp.Modules
{
    /// <summary>Adam with decay of its own; none by default, unlike PyTorch.</summary>
    public class AdamW : OptimizerHelper, torch.optim.IBetas
    {
        public AdamW(IEnumerable<Parameter> parameters, double lr = 0.001, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-08, double weight_decay = 0, bool amsgrad = false, bool maximize = false)
            : this([new ParamGroup { Parameters = parameters }], lr, beta1, beta2, eps, weight_decay, amsgrad, maximize) { }

        public AdamW(IEnumerable<ParamGroup> parameters, double lr = 0.001, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-08, double weight_decay = 0, bool amsgrad = false, bool maximize = false)
        {
            if (lr < 0) throw new ArgumentException($"Invalid learning rate: {lr}");
            if (eps < 0) throw new ArgumentException($"Invalid ε: {eps}");
            if (beta1 is < 0 or >= 1) throw new ArgumentException($"Invalid beta1: {beta1}");
            if (beta2 is < 0 or >= 1) throw new ArgumentException($"Invalid beta2: {beta2}");
            if (weight_decay < 0) throw new ArgumentException($"Invalid weight_decay value: {weight_decay}");
            _defaults = new Options { LearningRate = lr, InitialLearningRate = lr, beta1 = beta1, beta2 = beta2, eps = eps, weight_decay = weight_decay, amsgrad = amsgrad, maximize = maximize };
            _parameter_groups = [];
            foreach (var group in parameters) add_param_group(group);
        }

        public (double, double) Betas
        {
            get => (((Options)_defaults).beta1.Value, ((Options)_defaults).beta2.Value);
            set => (((Options)_defaults).beta1, ((Options)_defaults).beta2) = value;
        }

        public override torch.Tensor step(Func<torch.Tensor> closure = null) => _step<ParamGroup>(group =>
        {
            var o = group.Options;
            double lr = o.LearningRate.Value, beta1 = o.beta1.Value, beta2 = o.beta2.Value;
            foreach (var p in group.Parameters)
            {
                var state = (State)_state[p.handle];
                var grad = p.grad;
                if (grad is null) continue;
                if (o.maximize.Value) grad = -grad;
                state.step++;
                p.mul_(1 - lr * o.weight_decay.Value);
                state.exp_avg.mul_(beta1).add_(grad, 1 - beta1);
                state.exp_avg_sq.mul_(beta2).addcmul_(grad, grad, 1 - beta2);
                var second = state.exp_avg_sq;
                if (o.amsgrad.Value)
                {
                    using var old = state.max_exp_avg_sq;
                    second = state.max_exp_avg_sq = torch.maximum(old, state.exp_avg_sq).DetachFromDisposeScope();
                }
                var denom = (second.sqrt() / Math.Sqrt(1 - Math.Pow(beta2, state.step))).add_(o.eps.Value);
                p.addcdiv_(state.exp_avg, denom, -lr / (1 - Math.Pow(beta1, state.step)));
            }
        }, closure);

        public override void add_param_group(Modules.ParamGroup param_group)
        {
            var d = (Options)_defaults;
            var o = (Options)(param_group.Options ??= new Options());
            o.LearningRate ??= d.LearningRate;
            o.beta1 ??= d.beta1;
            o.beta2 ??= d.beta2;
            o.eps ??= d.eps;
            o.weight_decay ??= d.weight_decay;
            o.amsgrad ??= d.amsgrad;
            o.maximize ??= d.maximize;
            o.InitialLearningRate = o.LearningRate.Value;
            _parameter_groups.Add(param_group);
            foreach (var p in param_group.Parameters)
            {
                var state = new State(p);
                _state[p.Handle] = state;
                state.Initialize(o);
            }
        }

        protected override void Dispose(bool disposing)
        {
            base.Dispose(disposing);
            if (!disposing) return;
            foreach (var (_, state) in _state) ((State)state).Dispose();
        }

        public class Options : OptimizerOptions
        {
            public double? beta1;
            public double? beta2;
            public double? weight_decay;
            public double? eps;
            public bool? amsgrad;
            public bool? maximize;

            public override void LoadStateDict(OptimizerOptions source)
            {
                base.LoadStateDict(source);
                var o = (Options)source;
                (beta1, beta2, weight_decay, eps, amsgrad, maximize) = (o.beta1, o.beta2, o.weight_decay, o.eps, o.amsgrad, o.maximize);
            }
        }

        public class ParamGroup : ParamGroup<Options>, torch.optim.IBetas
        {
            public ParamGroup() { }

            public (double, double) Betas
            {
                get => (Options.beta1.Value, Options.beta2.Value);
                set => (Options.beta1, Options.beta2) = value;
            }
        }

        public sealed class State : OptimizerState, IDisposable
        {
            public long step;
            public torch.Tensor exp_avg;
            public torch.Tensor exp_avg_sq;
            public torch.Tensor max_exp_avg_sq;

            public State(Parameter parameter) : base(parameter) { }

            public override void Initialize(OptimizerOptions options)
            {
                Dispose();
                step = 0;
                exp_avg = torch.zeros_like(_parameter).DetachFromDisposeScope();
                exp_avg_sq = torch.zeros_like(_parameter).DetachFromDisposeScope();
                max_exp_avg_sq = ((Options)options).amsgrad.Value ? torch.zeros_like(_parameter).DetachFromDisposeScope() : null;
            }

            public override void to(torch.Device device)
            {
                exp_avg = exp_avg.to(device);
                exp_avg_sq = exp_avg_sq.to(device);
                max_exp_avg_sq = max_exp_avg_sq?.to(device);
            }

            public override void LoadStateDict(OptimizerState source)
            {
                var s = (State)source;
                Dispose();
                step = s.step;
                exp_avg = s.exp_avg.to(_parameter.device, copy: true);
                exp_avg_sq = s.exp_avg_sq.to(_parameter.device, copy: true);
                max_exp_avg_sq = s.max_exp_avg_sq?.to(_parameter.device, copy: true);
            }

            public override bool ApproximatelyEquals(OptimizerState other) => other is State s && step == s.step && exp_avg.allclose(s.exp_avg) &&
                exp_avg_sq.allclose(s.exp_avg_sq) && (max_exp_avg_sq is null || max_exp_avg_sq.allclose(s.max_exp_avg_sq));

            public void Dispose()
            {
                exp_avg?.Dispose();
                exp_avg_sq?.Dispose();
                max_exp_avg_sq?.Dispose();
            }
        }
    }
}
