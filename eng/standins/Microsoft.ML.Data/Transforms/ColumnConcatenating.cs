using Microsoft.ML;

[assembly: LoadableClass(typeof(ColumnConcatenatingTransformer), null, typeof(SignatureLoadModel), "Concat Transform", ColumnConcatenatingTransformer.LoaderSignature)]

namespace Microsoft.ML.Transforms
{
    public sealed class ColumnConcatenatingEstimator : IEstimator<ColumnConcatenatingTransformer>
    {
        private readonly IHostEnvironment _env;
        private readonly string _output;
        private readonly string[] _inputs;

        internal ColumnConcatenatingEstimator(IHostEnvironment env, string outputColumnName, params string[] inputColumnNames)
        {
            Contracts.CheckNonEmpty(outputColumnName, nameof(outputColumnName));
            Contracts.CheckValue(inputColumnNames, nameof(inputColumnNames));
            Contracts.CheckParam(inputColumnNames.Length > 0, nameof(inputColumnNames), "Input columns not specified");
            Contracts.CheckParam(!inputColumnNames.Any(string.IsNullOrEmpty), nameof(inputColumnNames), "Contained some null or empty items");
            _env = env;
            _output = outputColumnName;
            _inputs = inputColumnNames;
        }

        public ColumnConcatenatingTransformer Fit(IDataView input)
        {
            Contracts.CheckValue(input, nameof(input));
            return new ColumnConcatenatingTransformer(_env, _output, _inputs);
        }

        public SchemaShape GetOutputSchema(SchemaShape inputSchema)
        {
            Contracts.CheckValue(inputSchema, nameof(inputSchema));
            SchemaShape.Column[] sources = [.. _inputs.Select(name => Shapes.Find(inputSchema, name))];
            foreach (SchemaShape.Column source in sources)
            {
                Contracts.Check(!source.IsKey, $"Column '{source.Name}' is key. Concatenation of keys is unsupported.");
                Contracts.Check(source.ItemType.Equals(sources[0].ItemType),
                    $"Concatenated columns should have the same type. Column '{source.Name}' has type of {source.ItemType}, but expected column type is {sources[0].ItemType}.");
            }
            bool variable = sources.Any(source => source.Kind == SchemaShape.Column.VectorKind.VariableVector);
            var kind = variable ? SchemaShape.Column.VectorKind.VariableVector : SchemaShape.Column.VectorKind.Vector;
            return new SchemaShape(inputSchema.Where(column => column.Name != _output)
                .Append(new SchemaShape.Column(_output, kind, sources[0].ItemType, false)));
        }
    }
}

namespace Microsoft.ML.Data
{

    public sealed class ColumnConcatenatingTransformer : RowToRowTransformerBase
    {
        internal const string LoaderSignature = "ConcatTransform";

        private static readonly VersionInfo _version = new("CONCAT F", 0x00010001, 0x00010001, 0x00010001,
            typeof(ColumnConcatenatingTransformer).Assembly.FullName, LoaderSignature);

        private readonly string _output;
        private readonly string[] _inputs;

        internal ColumnConcatenatingTransformer(IHostEnvironment env, string outputColumnName, params string[] inputColumnNames)
            : base(env.Register(nameof(ColumnConcatenatingTransformer)))
        {
            _output = outputColumnName;
            _inputs = inputColumnNames;
        }

        private static ColumnConcatenatingTransformer Create(IHostEnvironment env, ModelLoadContext ctx)
        {
            ctx.CheckAtModel(_version);
            string output = ctx.LoadNonEmptyString();
            var inputs = new string[ctx.Reader.ReadInt32()];
            for (int i = 0; i < inputs.Length; i++)
                inputs[i] = ctx.LoadNonEmptyString();
            return new ColumnConcatenatingTransformer(env, output, inputs);
        }

        private protected override void SaveModel(ModelSaveContext ctx)
        {
            ctx.CheckAtModel();
            ctx.SetVersionInfo(_version);
            ctx.SaveNonEmptyString(_output);
            ctx.Writer.Write(_inputs.Length);
            foreach (string input in _inputs)
                ctx.SaveNonEmptyString(input);
        }

        private protected override RowMapper MakeRowMapper(DataViewSchema schema) => new Mapper(this, schema);

        private sealed class Mapper : RowMapper
        {
            private readonly DataViewSchema.Column[] _sources;
            private readonly PrimitiveDataViewType _itemType;

            public Mapper(ColumnConcatenatingTransformer parent, DataViewSchema schema)
            {
                _sources = [.. parent._inputs.Select(name => schema.GetColumnOrNull(name) ?? throw Contracts.ExceptSchemaMismatch("inputSchema", "input", name))];
                _itemType = _sources[0].Type.GetItemType() as PrimitiveDataViewType;
                foreach (DataViewSchema.Column source in _sources)
                {
                    if (_itemType == null || !source.Type.GetItemType().Equals(_itemType))
                        throw Contracts.ExceptSchemaMismatch("inputSchema", "input", source.Name, _itemType?.ToString() ?? "a primitive type", source.Type.ToString());
                }
                OutputColumns = [Describe(parent._output)];
            }

            public override DataViewSchema.DetachedColumn[] OutputColumns { get; }

            private DataViewSchema.DetachedColumn Describe(string name)
            {
                if (IsIdentity)
                    return new DataViewSchema.DetachedColumn(name, _sources[0].Type, _sources[0].Annotations);
                int[] sizes = [.. _sources.Select(source => source.Type is VectorDataViewType vector ? vector.Size : 1)];
                bool known = Array.TrueForAll(sizes, size => size > 0);
                var annotations = new DataViewSchema.Annotations.Builder();
                bool named = known && _sources.Any(source => source.Type is not VectorDataViewType || source.HasSlotNames());
                if (named)
                {
                    ReadOnlyMemory<char>[] names = [.. _sources.SelectMany(SlotNames)];
                    ValueGetter<VBuffer<ReadOnlyMemory<char>>> getter = new VBuffer<ReadOnlyMemory<char>>(names.Length, names).CopyTo;
                    annotations.Add(AnnotationUtils.Kinds.SlotNames, new VectorDataViewType(TextDataViewType.Instance, names.Length), getter);
                }
                return new DataViewSchema.DetachedColumn(name, new VectorDataViewType(_itemType, known ? sizes.Sum() : 0), annotations.ToAnnotations());
            }

            private static IEnumerable<ReadOnlyMemory<char>> SlotNames(DataViewSchema.Column source)
            {
                if (source.Type is not VectorDataViewType vector)
                    return [source.Name.AsMemory()];
                if (!source.HasSlotNames())
                    return Enumerable.Repeat(ReadOnlyMemory<char>.Empty, vector.Size);
                VBuffer<ReadOnlyMemory<char>> names = default;
                source.GetSlotNames(ref names);
                return names.DenseValues().Select(name => name.IsEmpty ? name : $"{source.Name}.{name}".AsMemory());
            }

            private bool IsIdentity => _sources.Length == 1 && _sources[0].Type is VectorDataViewType;

            public override IEnumerable<int> Dependencies(int output) => _sources.Select(source => source.Index);

            public override Delegate MakeGetter(DataViewRow input, int output, out Action disposer)
            {
                disposer = null;
                DataViewSchema.Column[] sources = [.. _sources.Select(source => input.Schema[source.Index])];
                return IsIdentity ? Rows.Getter(input, sources[0]) : Generic.Invoke<Delegate>(typeof(Mapper), nameof(Join), [_itemType.RawType], input, sources);
            }

            private static ValueGetter<VBuffer<T>> Join<T>(DataViewRow input, DataViewSchema.Column[] sources)
            {
                var parts = new VBuffer<T>[sources.Length];
                Action[] readers = [.. sources.Select((source, i) => Part(input, source, parts, i))];
                return (ref VBuffer<T> destination) =>
                {
                    Array.ForEach(readers, read => read());
                    VBufferEditor<T> editor = VBufferEditor.Create(ref destination, parts.Sum(part => part.Length));
                    int offset = 0;
                    foreach (VBuffer<T> part in parts)
                    {
                        part.CopyTo(editor.Values, offset);
                        offset += part.Length;
                    }
                    destination = editor.Commit();
                };
            }

            private static Action Part<T>(DataViewRow input, DataViewSchema.Column source, VBuffer<T>[] parts, int i)
            {
                if (source.Type is not VectorDataViewType vector)
                {
                    ValueGetter<T> scalar = input.GetGetter<T>(source);
                    var one = new T[1];
                    parts[i] = new VBuffer<T>(1, one);
                    return () => scalar(ref one[0]);
                }
                ValueGetter<VBuffer<T>> getter = input.GetGetter<VBuffer<T>>(source);
                return () =>
                {
                    getter(ref parts[i]);
                    Contracts.Check(!vector.IsKnownSize || vector.Size == parts[i].Length, $"Column '{source.Name}': expected {vector.Size} slots, but got {parts[i].Length}");
                };
            }
        }
    }
}
