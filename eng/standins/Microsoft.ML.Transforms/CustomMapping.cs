using Microsoft.ML;
using Microsoft.ML.Transforms;

[assembly: LoadableClass(typeof(ITransformer), typeof(CustomMapping), null, typeof(SignatureLoadModel), "Custom mapping", CustomMapping.LoaderSignature)]

namespace Microsoft.ML
{
    public static class CustomMappingCatalog
    {
        public static CustomMappingEstimator<TSrc, TDst> CustomMapping<TSrc, TDst>(this TransformsCatalog catalog, Action<TSrc, TDst> mapAction,
            string contractName, SchemaDefinition inputSchemaDefinition = null, SchemaDefinition outputSchemaDefinition = null)
            where TSrc : class, new()
            where TDst : class, new()
            => new(catalog.GetEnvironment(), mapAction, contractName, inputSchemaDefinition, outputSchemaDefinition);
    }
}

namespace Microsoft.ML.Transforms
{
    [AttributeUsage(AttributeTargets.Class)]
    public sealed class CustomMappingFactoryAttributeAttribute : ExtensionBaseAttribute
    {
        public CustomMappingFactoryAttributeAttribute(string contractName) : base(contractName) { }
    }

    internal interface ICustomMappingFactory
    {
        ITransformer CreateTransformer(IHostEnvironment env, string contractName);
    }

    public abstract class CustomMappingFactory<TSrc, TDst> : ICustomMappingFactory
        where TSrc : class, new()
        where TDst : class, new()
    {
        protected CustomMappingFactory() { }

        public abstract Action<TSrc, TDst> GetMapping();

        ITransformer ICustomMappingFactory.CreateTransformer(IHostEnvironment env, string contractName)
            => new CustomMappingTransformer<TSrc, TDst>(env, GetMapping(), contractName);
    }

    /// <summary>In a model a custom mapping is a name, and the assembly whose class of that contract makes the mapping.</summary>
    internal static class CustomMapping
    {
        public const string LoaderSignature = "CustomTransformer";

        private static readonly VersionInfo _version = new("CUSTOMXF", 0x00010002, 0x00010002, 0x00010002,
            typeof(CustomMapping).Assembly.FullName, LoaderSignature);

        public static void Save(ModelSaveContext ctx, string contractName, string contractAssembly)
        {
            Contracts.Check(contractName != null, "Empty contract name for a transform: the transform cannot be saved");
            ctx.CheckAtModel();
            ctx.SetVersionInfo(_version);
            ctx.SaveString(contractName);
            ctx.SaveString(contractAssembly);
        }

        private static ITransformer Create(IHostEnvironment env, ModelLoadContext ctx)
        {
            ctx.CheckAtModel(_version);
            string contractName = ctx.LoadString();
            env.ComponentCatalog.RegisterAssembly(System.Reflection.Assembly.Load(ctx.LoadString()));
            object factory = env.ComponentCatalog.GetExtensionValue(typeof(CustomMappingFactoryAttributeAttribute), contractName);
            return factory is ICustomMappingFactory maker
                ? maker.CreateTransformer(env, contractName)
                : throw Contracts.Except($"The class with contract '{contractName}' must derive from CustomMappingFactory.");
        }
    }

    public sealed class CustomMappingEstimator<TSrc, TDst> : TrivialEstimator<CustomMappingTransformer<TSrc, TDst>>
        where TSrc : class, new()
        where TDst : class, new()
    {
        internal CustomMappingEstimator(IHostEnvironment env, Action<TSrc, TDst> mapAction, string contractName,
            SchemaDefinition inputSchemaDefinition = null, SchemaDefinition outputSchemaDefinition = null)
            : base(env.Register("CustomMappingEstimator"),
                new CustomMappingTransformer<TSrc, TDst>(env, mapAction, contractName, inputSchemaDefinition, outputSchemaDefinition)) { }

        public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
        {
            var columns = inputSchema.ToDictionary(column => column.Name);
            foreach (RowLayout.Column column in RowLayout.Create(typeof(TSrc), Transformer.InputDefinition, SchemaDefinition.Direction.Both).Columns)
            {
                SchemaShape.Column found = Shapes.Find(inputSchema, column.Name);
                SchemaShape.Column wanted = SchemaShape.Describe(column.Name, column.Type);
                bool fits = found.ItemType.Equals(wanted.ItemType) && found.IsKey == wanted.IsKey
                    && (found.Kind == wanted.Kind || wanted.Kind == SchemaShape.Column.VectorKind.VariableVector && found.Kind == SchemaShape.Column.VectorKind.Vector);
                if (!fits)
                    throw Contracts.ExceptSchemaMismatch(nameof(inputSchema), "input", column.Name, column.Type.ToString(), $"{found.Kind} of {found.ItemType}");
            }
            foreach (SchemaShape.Column added in SchemaShape.Create(Transformer.Added.ToSchema()))
                columns[added.Name] = added;
            return new SchemaShape(columns.Values);
        }
    }

    public sealed class CustomMappingTransformer<TSrc, TDst> : ITransformer
        where TSrc : class, new()
        where TDst : class, new()
    {
        private readonly Action<TSrc, TDst> _map;
        private readonly string _contractName;

        internal CustomMappingTransformer(IHostEnvironment env, Action<TSrc, TDst> mapAction, string contractName,
            SchemaDefinition inputSchemaDefinition = null, SchemaDefinition outputSchemaDefinition = null)
        {
            Contracts.CheckValue(mapAction, nameof(mapAction));
            _map = mapAction;
            _contractName = contractName;
            InputDefinition = inputSchemaDefinition;
            Added = RowLayout.Create(typeof(TDst), outputSchemaDefinition, SchemaDefinition.Direction.Write);
        }

        internal SchemaDefinition InputDefinition { get; }
        internal RowLayout Added { get; }

        bool ITransformer.IsRowToRowMapper => true;

        void ICanSaveModel.Save(ModelSaveContext ctx) => CustomMapping.Save(ctx, _contractName, _map.Method.DeclaringType.Assembly.FullName);

        private MappedDataView Apply(IDataView input) => new(input, new Mapper(this, input.Schema));

        public DataViewSchema GetOutputSchema(DataViewSchema inputSchema)
        {
            Contracts.CheckValue(inputSchema, nameof(inputSchema));
            return Apply(new EmptyDataView(inputSchema)).Schema;
        }

        IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema)
        {
            Contracts.CheckValue(inputSchema, nameof(inputSchema));
            return Apply(new EmptyDataView(inputSchema));
        }

        public IDataView Transform(IDataView input)
        {
            Contracts.CheckValue(input, nameof(input));
            return Apply(input);
        }

        private sealed class Mapper : RowMapper
        {
            private readonly CustomMappingTransformer<TSrc, TDst> _parent;
            private readonly RowReader<TSrc> _reader;
            private readonly int[] _inputs;
            private readonly DataViewSchema _added;
            private readonly System.Runtime.CompilerServices.ConditionalWeakTable<DataViewRow, Served> _served = [];

            public Mapper(CustomMappingTransformer<TSrc, TDst> parent, DataViewSchema schema)
            {
                _parent = parent;
                _reader = new RowReader<TSrc>(schema, ignoreMissingColumns: false, parent.InputDefinition);
                _inputs = [.. _reader.Dependencies(schema).Select(column => column.Index)];
                _added = parent.Added.ToSchema();
                OutputColumns = [.. _added.Select(column => new DataViewSchema.DetachedColumn(column))];
            }

            public override DataViewSchema.DetachedColumn[] OutputColumns { get; }

            public override IEnumerable<int> Dependencies(int output) => _inputs;

            // All columns of a row come from one call of the mapping, so they share what is made for the row.
            public override Delegate MakeGetter(DataViewRow input, int output, out Action disposer)
            {
                disposer = null;
                Served served = _served.GetValue(input, row => new Served(_parent._map, row, _reader.Bind(row), new InputRow<TDst>(_added, _parent.Added)));
                return Generic.Invoke<Delegate>(typeof(Mapper), nameof(Getter), [_added[output].Type.RawType], served, _added[output]);
            }

            private static Delegate Getter<T>(Served served, DataViewSchema.Column column)
            {
                ValueGetter<T> getter = served.Output.GetGetter<T>(column);
                return (ValueGetter<T>)((ref T destination) =>
                {
                    served.Refresh();
                    getter(ref destination);
                });
            }
        }

        private sealed class Served(Action<TSrc, TDst> map, DataViewRow input, Action<TSrc> fill, InputRow<TDst> output)
        {
            private readonly TSrc _source = new();
            private readonly TDst _destination = new();
            private long _position = -1;

            public InputRow<TDst> Output => output;

            public void Refresh()
            {
                if (_position == input.Position)
                    return;
                fill(_source);
                map(_source, _destination);
                output.Set(_destination);
                _position = input.Position;
            }
        }
    }
}
