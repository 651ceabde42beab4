namespace Microsoft.ML.Data;

/// <remarks>Forking, stepping and combining are rounds of MurmurHash3 (x64, 128 bits).</remarks>
public readonly struct DataViewRowId : IComparable<DataViewRowId>, IEquatable<DataViewRowId>
{
    public readonly ulong Low;
    public readonly ulong High;

    public DataViewRowId(ulong low, ulong high)
    {
        Low = low;
        High = high;
    }

    public override string ToString() => $"{High:x16}{Low:x16}";

    public int CompareTo(DataViewRowId other) => (High, Low).CompareTo((other.High, other.Low));

    public bool Equals(DataViewRowId other) => Low == other.Low && High == other.High;

    public override bool Equals(object obj) => obj is DataViewRowId other && Equals(other);

    public override int GetHashCode()
        => (int)((uint)Low ^ (uint)(Low >> 32) ^ (uint)(High << 7) ^ (uint)(High >> 57) ^ (uint)(High >> 25));
}
