namespace Microsoft.ML.Data
{
    [Flags]
    public enum TransformerScope
    {
        None = 0,
        Training = 1,
        Testing = 2,
        TrainTest = 3,
        Scoring = 4,
        Everything = 7,
    }

    public sealed class EstimatorChain<TLastTransformer> : IEstimator<TransformerChain<TLastTransformer>>
        where TLastTransformer : class, ITransformer
    {
        private readonly Link[] _links;

        public readonly IEstimator<TLastTransformer> LastEstimator;

        public EstimatorChain() => _links = [];

        private EstimatorChain(Link[] links)
        {
            _links = links;
            LastEstimator = links.Length > 0 ? links[^1].Estimator as IEstimator<TLastTransformer> : null;
        }

        private sealed record Link(IEstimator<ITransformer> Estimator, TransformerScope Scope, bool CacheAfter);

        // Links are shared between chains of different last transformers, and a nested record would differ with each.
        private IEnumerable<(IEstimator<ITransformer>, TransformerScope, bool)> Unpack()
            => _links.Select(link => (link.Estimator, link.Scope, link.CacheAfter));

        private static EstimatorChain<TLastTransformer> Pack(IEnumerable<(IEstimator<ITransformer> Estimator, TransformerScope Scope, bool CacheAfter)> links)
            => new([.. links.Select(link => new Link(link.Estimator, link.Scope, link.CacheAfter))]);

        public TransformerChain<TLastTransformer> Fit(IDataView input)
        {
            GetOutputSchema(SchemaShape.Create(input.Schema));
            var transformers = new List<ITransformer>();
            IDataView current = input;
            for (int i = 0; i < _links.Length; i++)
            {
                ITransformer transformer = _links[i].Estimator.Fit(current);
                transformers.Add(transformer);
                current = transformer.Transform(current);
                if (_links[i].CacheAfter && i < _links.Length - 1)
                    current = new CacheDataView(current);
            }
            return new TransformerChain<TLastTransformer>(transformers, _links.Select(link => link.Scope));
        }

        public SchemaShape GetOutputSchema(SchemaShape inputSchema)
            => _links.Aggregate(inputSchema, (schema, link) => link.Estimator.GetOutputSchema(schema));

        public EstimatorChain<TNewTrans> Append<TNewTrans>(IEstimator<TNewTrans> estimator, TransformerScope scope = TransformerScope.Everything)
            where TNewTrans : class, ITransformer
        {
            Contracts.CheckValue(estimator, nameof(estimator));
            return EstimatorChain<TNewTrans>.Pack(Unpack().Append((estimator, scope, false)));
        }

        public EstimatorChain<TLastTransformer> AppendCacheCheckpoint(IHostEnvironment env)
        {
            Contracts.CheckValue(env, nameof(env));
            if (_links.Length == 0)
                throw new InvalidOperationException("Current estimator chain has no estimator, can't append cache checkpoint.");
            return new([.. _links[..^1], _links[^1] with { CacheAfter = true }]);
        }
    }
}

namespace Microsoft.ML
{
    public static class LearningPipelineExtensions
    {
        public static EstimatorChain<TTrans> Append<TTrans>(this IEstimator<ITransformer> start, IEstimator<TTrans> estimator,
            TransformerScope scope = TransformerScope.Everything)
            where TTrans : class, ITransformer
        {
            Contracts.CheckValue(start, nameof(start));
            Contracts.CheckValue(estimator, nameof(estimator));
            EstimatorChain<ITransformer> chain = start as EstimatorChain<ITransformer> ?? new EstimatorChain<ITransformer>().Append(start);
            return chain.Append(estimator, scope);
        }

        public static EstimatorChain<TTrans> AppendCacheCheckpoint<TTrans>(this IEstimator<TTrans> start, IHostEnvironment env)
            where TTrans : class, ITransformer
        {
            Contracts.CheckValue(start, nameof(start));
            return new EstimatorChain<ITransformer>().Append(start).AppendCacheCheckpoint(env);
        }

        public static IEstimator<TTransformer> WithOnFitDelegate<TTransformer>(this IEstimator<TTransformer> estimator, Action<TTransformer> onFit)
            where TTransformer : class, ITransformer
        {
            Contracts.CheckValue(estimator, nameof(estimator));
            Contracts.CheckValue(onFit, nameof(onFit));
            return new WatchedEstimator<TTransformer>(estimator, onFit);
        }

        private sealed class WatchedEstimator<TTransformer>(IEstimator<TTransformer> inner, Action<TTransformer> onFit) : IEstimator<TTransformer>
            where TTransformer : class, ITransformer
        {
            public TTransformer Fit(IDataView input)
            {
                TTransformer transformer = inner.Fit(input);
                onFit(transformer);
                return transformer;
            }

            public SchemaShape GetOutputSchema(SchemaShape inputSchema) => inner.GetOutputSchema(inputSchema);
        }
    }
}
