using Microsoft.ML.Transforms;

namespace Microsoft.ML.Data;

/// <summary>The values of one column, in the order of their keys. Empty texts, missing keys and NaN have no key.</summary>
internal abstract class KeyTerms(PrimitiveDataViewType itemType, bool asText)
{
    public PrimitiveDataViewType ItemType { get; } = itemType;

    protected bool AsText { get; } = asText;

    public abstract int Count { get; }

    public abstract void Save(BinaryWriter writer);

    public abstract void AddKeyValues(DataViewSchema.Annotations.Builder annotations, DataViewSchema.Column input);

    public abstract Delegate Getter(DataViewRow input, DataViewSchema.Column source);

    public static KeyTerms Collect(IDataView data, DataViewSchema.Column column, int maximum, ValueToKeyMappingEstimator.KeyOrdinality ordinality, bool asText)
        => Generic.Invoke<KeyTerms>(typeof(KeyTerms), nameof(CollectTyped), [column.Type.GetItemType().RawType], data, column, maximum, ordinality, asText);

    private static KeyTerms CollectTyped<T>(IDataView data, DataViewSchema.Column column, int maximum, ValueToKeyMappingEstimator.KeyOrdinality ordinality, bool asText)
    {
        var seen = new Dictionary<T, uint>(KeyTerms<T>.Equality);
        using DataViewRowCursor cursor = data.GetRowCursor([column]);
        ValueGetter<VBuffer<T>> getter = Vectors.AsVector<T>(cursor, column);
        VBuffer<T> values = default;
        while (seen.Count < maximum && cursor.MoveNext())
        {
            getter(ref values);
            foreach (T value in values.DenseValues())
            {
                if (seen.Count < maximum && !KeyTerms<T>.IsMissing(value))
                    seen.TryAdd(KeyTerms<T>.Own(value), 0);
            }
        }
        T[] terms = [.. seen.Keys];
        if (ordinality == ValueToKeyMappingEstimator.KeyOrdinality.ByValue)
            Array.Sort(terms, KeyTerms<T>.Order);
        return new KeyTerms<T>((PrimitiveDataViewType)column.Type.GetItemType(), asText, terms);
    }

    public static KeyTerms Load(BinaryReader reader)
    {
        var itemType = (PrimitiveDataViewType)ValueCodec.ReadType(reader);
        bool asText = reader.ReadBoolean();
        ValueCodec.Slot slot = ValueCodec.SlotFor(new VectorDataViewType(itemType));
        slot.Read(reader);
        return Generic.Invoke<KeyTerms>(typeof(KeyTerms), nameof(LoadTyped), [itemType.RawType], itemType, asText, slot.Getter);
    }

    private static KeyTerms LoadTyped<T>(PrimitiveDataViewType itemType, bool asText, ValueGetter<VBuffer<T>> getter)
    {
        VBuffer<T> terms = default;
        getter(ref terms);
        return new KeyTerms<T>(itemType, asText, [.. terms.DenseValues()]);
    }
}

internal sealed class KeyTerms<T> : KeyTerms
{
    private readonly T[] _terms;
    private readonly Dictionary<T, uint> _keys;

    public KeyTerms(PrimitiveDataViewType itemType, bool asText, T[] terms) : base(itemType, asText)
    {
        _terms = terms;
        _keys = new Dictionary<T, uint>(Equality);
        foreach (T term in terms)
            _keys.Add(term, (uint)_keys.Count + 1);
    }

    public static IEqualityComparer<T> Equality { get; } = typeof(T) == typeof(ReadOnlyMemory<char>)
        ? (IEqualityComparer<T>)EqualityComparer<ReadOnlyMemory<char>>.Create((a, b) => a.Span.SequenceEqual(b.Span), text => string.GetHashCode(text.Span))
        : EqualityComparer<T>.Default;

    public static IComparer<T> Order { get; } = typeof(T) == typeof(ReadOnlyMemory<char>)
        ? (IComparer<T>)Comparer<ReadOnlyMemory<char>>.Create((a, b) => a.Span.SequenceCompareTo(b.Span))
        : Comparer<T>.Default;

    public override int Count => _terms.Length;

    public static bool IsMissing(T value) => value switch
    {
        ReadOnlyMemory<char> text => text.IsEmpty,
        float number => float.IsNaN(number),
        double number => double.IsNaN(number),
        _ => false,
    };

    // A text may lie in a buffer that the next row overwrites.
    public static T Own(T value) => value is ReadOnlyMemory<char> text ? (T)(object)text.ToString().AsMemory() : value;

    public override void Save(BinaryWriter writer)
    {
        ValueCodec.WriteType(writer, ItemType);
        writer.Write(AsText);
        ValueCodec.WriteVector(writer, _terms);
    }

    public override void AddKeyValues(DataViewSchema.Annotations.Builder annotations, DataViewSchema.Column input)
    {
        if (_terms.Length == 0)
            return;
        const string Kind = AnnotationUtils.Kinds.KeyValues;
        if (ItemType is KeyDataViewType && input.Annotations.Schema.GetColumnOrNull(Kind)?.Type is VectorDataViewType values)
            Generic.Invoke<object>(typeof(KeyTerms<T>), nameof(AddValuesOfKeys), [typeof(T), values.ItemType.RawType], this, annotations, input, values.ItemType);
        else if (AsText && ItemType is not TextDataViewType)
            Add(annotations, TextDataViewType.Instance, _terms.Select(term => ValueConversion.ToText(term)));
        else
            Add(annotations, ItemType, _terms);
    }

    private static void Add<TValue>(DataViewSchema.Annotations.Builder annotations, PrimitiveDataViewType type, IEnumerable<TValue> values)
    {
        TValue[] array = [.. values];
        ValueGetter<VBuffer<TValue>> getter = new VBuffer<TValue>(array.Length, array).CopyTo;
        annotations.Add(AnnotationUtils.Kinds.KeyValues, new VectorDataViewType(type, array.Length), getter);
    }

    // The values behind keys of keys are those behind the first keys.
    private static object AddValuesOfKeys<TKey, TValue>(KeyTerms<TKey> terms, DataViewSchema.Annotations.Builder annotations, DataViewSchema.Column input, PrimitiveDataViewType type)
    {
        VBuffer<TValue> values = default;
        input.Annotations.GetValue(AnnotationUtils.Kinds.KeyValues, ref values);
        Add(annotations, type, terms._terms.Select(key => values.GetItemOrDefault((int)Convert.ToUInt64(key) - 1)));
        return null;
    }

    public override Delegate Getter(DataViewRow input, DataViewSchema.Column source) => Vectors.Map<T, uint>(input, source, value => _keys.GetValueOrDefault(value));
}
