using System.Globalization;

namespace Microsoft.ML.Data;

/// <summary>The standard conversions: within signed and within unsigned integers, from those to floats, and to and from text.</summary>
internal static class ValueConversion
{
    private static readonly HashSet<Type> _signed = [typeof(sbyte), typeof(short), typeof(int), typeof(long)];
    private static readonly HashSet<Type> _unsigned = [typeof(byte), typeof(ushort), typeof(uint), typeof(ulong)];
    private static readonly HashSet<Type> _floats = [typeof(float), typeof(double)];
    private static readonly Type _text = typeof(ReadOnlyMemory<char>);

    public static bool Exists(DataViewType from, DataViewType to)
    {
        Type source = from.RawType, result = to.RawType;
        bool isNumber = _signed.Contains(source) || _unsigned.Contains(source) || _floats.Contains(source);
        if (source == result)
            return true;
        if (source == _text || result == _text || result == typeof(bool))
            return (source == _text || source == typeof(bool) || isNumber) && (result == _text || result == typeof(bool) || DataTypes.PrimitiveFor(result) is NumberDataViewType);
        return _floats.Contains(result) ? isNumber || source == typeof(bool)
            : _signed.Contains(result) ? _signed.Contains(source) || source == typeof(bool)
            : _unsigned.Contains(result) && _unsigned.Contains(source);
    }

    public static Func<TSource, TResult> Make<TSource, TResult>()
    {
        if (typeof(TSource) == typeof(TResult))
            return value => (TResult)(object)value;
        if (typeof(TResult) == _text)
            return value => (TResult)(object)ToText(value);
        if (typeof(TSource) == _text)
            return value => Parse<TResult>(((ReadOnlyMemory<char>)(object)value).ToString());
        return value => (TResult)Cast(value, typeof(TResult));
    }

    private static object Cast(object value, Type result)
    {
        if (result == typeof(bool))
            return Convert.ToDouble(value) != 0;
        if (value is float or double or bool || _floats.Contains(result))
            return Convert.ChangeType(value, result, CultureInfo.InvariantCulture);
        // Between integers a value that does not fit wraps.
        ulong bits = value is ulong large ? large : unchecked((ulong)Convert.ToInt64(value));
        return Type.GetTypeCode(result) switch
        {
            TypeCode.SByte => unchecked((sbyte)bits),
            TypeCode.Byte => unchecked((byte)bits),
            TypeCode.Int16 => unchecked((short)bits),
            TypeCode.UInt16 => unchecked((ushort)bits),
            TypeCode.Int32 => unchecked((int)bits),
            TypeCode.UInt32 => unchecked((uint)bits),
            TypeCode.Int64 => unchecked((long)bits),
            _ => bits,
        };
    }

    public static ReadOnlyMemory<char> ToText<T>(T value) => (value switch
    {
        float number => float.IsNaN(number) ? "?" : number.ToString("R", CultureInfo.InvariantCulture),
        double number => double.IsNaN(number) ? "?" : number.ToString("G17", CultureInfo.InvariantCulture),
        bool flag => flag ? "1" : "0",
        ReadOnlyMemory<char> text => text.ToString(),
        IFormattable formattable => formattable.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString(),
    }).AsMemory();

    private static TResult Parse<TResult>(string text)
    {
        string trimmed = text.Trim();
        bool isMissing = trimmed.Length == 0 || trimmed is "?" or "NaN";
        if (typeof(TResult) == typeof(float) || typeof(TResult) == typeof(double))
        {
            double number = 0;
            if (trimmed.Length > 0 && (isMissing || !double.TryParse(trimmed, NumberStyles.Float, CultureInfo.InvariantCulture, out number)))
                number = double.NaN;
            return (TResult)Convert.ChangeType(number, typeof(TResult));
        }
        if (trimmed.Length == 0)
            return default;
        if (typeof(TResult) == typeof(bool))
            return (TResult)(object)(trimmed.ToLowerInvariant() is "1" or "true" or "yes" or "t" or "y" or "on" or "+" or "+1");
        try
        {
            return (TResult)Convert.ChangeType(trimmed, typeof(TResult), CultureInfo.InvariantCulture);
        }
        catch (Exception exception) when (exception is FormatException or OverflowException)
        {
            throw Contracts.Except($"Parsing failed with an exception: '{trimmed}' is no {typeof(TResult).Name}.", exception);
        }
    }
}
