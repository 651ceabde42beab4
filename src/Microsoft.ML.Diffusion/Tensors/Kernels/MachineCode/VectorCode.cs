namespace Microsoft.ML.Diffusion;

/// <summary>Machine code for AVX-512: registers of 16 numbers of 32 bits.</summary>
/// <param name="offsetOf">Where a field of the routines' first argument lies, in bytes.</param>
internal abstract class VectorCode(Func<string, nint> offsetOf) : MachineCode(offsetOf)
{
    // As the encoding of memory operands has it: there is no index.
    protected const int None = 4;

    // Prefixes and maps of opcodes, as EVEX encodes them.
    protected const int NoPrefix = 0;
    protected const int P66 = 1;
    protected const int PF3 = 2;
    protected const int M0F = 1;
    protected const int M0F38 = 2;

    /// <summary>Sets rcx to three times r8, the distance between rows, as <see cref="BroadcastRow"/> needs it.</summary>
    protected void TripleRowDistance() => Emit(0x4B, 0x8D, 0x0C, 0x40);   // lea rcx, [r8 + 2·r8]

    /// <summary>32 bits of a row, in all lanes.</summary>
    /// <param name="register">Written.</param>
    /// <param name="row">One of eight.</param>
    /// <param name="first">What points to the first row.</param>
    /// <param name="fifth">What points to the fifth.</param>
    /// <param name="words">How many lie before them.</param>
    protected void BroadcastRow(int register, int row, int first, int fifth, int words)
    {
        var (index, scale) = (row % 4) switch
        {
            0 => (None, 0),
            1 => (R8, 0),
            2 => (R8, 1),
            _ => (Rcx, 0),
        };
        BroadcastWord(register, row < 4 ? first : fifth, index, scale, words);
    }

    // vpxord.
    protected void ZeroVector(int register) => Vector(P66, M0F, 0xEF, register, register, register);

    // vpbroadcastd: 32 bits at origin + index·2^scale + 4·words, in all lanes.
    protected void BroadcastWord(int register, int origin, int index, int scale, int words) => VectorMemory(P66, M0F38, 0x58, register, origin, index, scale, words);

    // vzeroupper: code for SSE may follow.
    protected void EndVectors() => Emit(0xC5, 0xF8, 0x77);

    protected void LoadVector(int register, int origin, int vectors) => VectorMemory(NoPrefix, M0F, 0x10, register, origin, None, 0, vectors);   // vmovups

    protected void StoreVector(int register, int origin, int vectors) => VectorMemory(NoPrefix, M0F, 0x11, register, origin, None, 0, vectors);

    /// <summary>An instruction of three registers.</summary>
    protected void Vector(int prefix, int map, byte opcode, int to, int first, int second)
    {
        Evex(prefix, map, to, second >> 4, second >> 3, first);
        Emit(opcode, (byte)(0xC0 | (to & 7) << 3 | (second & 7)));
    }

    /// <summary>An instruction of a register and memory, at origin + index·2^scale + displacement; the last counts what the instruction moves.</summary>
    protected void VectorMemory(int prefix, int map, byte opcode, int register, int origin, int index, int scale, int displacement)
    {
        Evex(prefix, map, register, index >> 3, origin >> 3, 0);
        Emit(opcode, (byte)(0x44 | (register & 7) << 3), (byte)(scale << 6 | (index & 7) << 3 | (origin & 7)), (byte)displacement);
    }

    /// <summary>The prefix of an instruction on 512 bits: every bit of a register's number but the lowest three, inverted.</summary>
    private void Evex(int prefix, int map, int register, int x, int b, int first) => Emit(
        0x62,
        (byte)((~register >> 3 & 1) << 7 | (~x & 1) << 6 | (~b & 1) << 5 | (~register >> 4 & 1) << 4 | map),
        (byte)((~first & 15) << 3 | 4 | prefix),
        (byte)(0x40 | (~first >> 4 & 1) << 3));
}
