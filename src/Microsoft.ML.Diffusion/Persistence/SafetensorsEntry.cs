namespace Microsoft.ML.Diffusion;

/// <summary>One tensor as a safetensors header describes it.</summary>
/// <param name="Name">The tensor's name, unique in its file.</param>
/// <param name="DType">The element type.</param>
/// <param name="Shape">The sizes of the dimensions; empty for a scalar.</param>
/// <param name="Begin">The first byte, counted from the end of the header.</param>
/// <param name="End">One past the last byte, counted from the end of the header.</param>
internal sealed record SafetensorsEntry(string Name, ScalarType DType, long[] Shape, long Begin, long End)
{
    /// <summary>The size in bytes.</summary>
    public long Length => End - Begin;

    /// <summary>The name that the format has for an element type.</summary>
    /// <exception cref="NotSupportedException">The format has no such element type.</exception>
    public static string NameOf(ScalarType type) => type switch
    {
        ScalarType.Float64 => "F64",
        ScalarType.Float32 => "F32",
        ScalarType.Float16 => "F16",
        ScalarType.BFloat16 => "BF16",
        ScalarType.Int64 => "I64",
        ScalarType.Int32 => "I32",
        ScalarType.Int16 => "I16",
        ScalarType.Int8 => "I8",
        ScalarType.Byte => "U8",
        ScalarType.Bool => "BOOL",
        _ => throw new NotSupportedException($"safetensors files hold no {type} tensors here; convert the tensor to Float32 first."),
    };

    /// <summary>The element type behind the format's name, or null where TorchSharp has none for it.</summary>
    public static ScalarType? TypeOf(string? name) => name switch
    {
        "F64" => ScalarType.Float64,
        "F32" => ScalarType.Float32,
        "F16" => ScalarType.Float16,
        "BF16" => ScalarType.BFloat16,
        "I64" => ScalarType.Int64,
        "I32" => ScalarType.Int32,
        "I16" => ScalarType.Int16,
        "I8" => ScalarType.Int8,
        "U8" => ScalarType.Byte,
        "BOOL" => ScalarType.Bool,
        _ => null,
    };

    /// <summary>The size of one element in bytes.</summary>
    public static int SizeOf(ScalarType type) => type switch
    {
        ScalarType.Float64 or ScalarType.Int64 => 8,
        ScalarType.Float32 or ScalarType.Int32 => 4,
        ScalarType.Float16 or ScalarType.BFloat16 or ScalarType.Int16 => 2,
        _ => 1,
    };
}
