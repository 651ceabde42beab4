using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>The routines of <see cref="AmxUnit"/>; each has one argument, in rdi.</summary>
internal sealed class AmxCode : MachineCode
{
    // Tiles: four of sums, two of either factor.
    private const int Sums = 0;
    private const int Left = 4;
    private const int Right = 6;

    private AmxCode()
        : base(name => Marshal.OffsetOf<BlockProduct>(name))
    {
    }

    /// <summary>Where a function begins that loads the tiles' configuration from its argument, 64 bytes.</summary>
    public int Configure { get; private set; }

    /// <summary>Where a function begins that runs the <see cref="BlockProduct"/> which its argument points to.</summary>
    public int Multiply { get; private set; }

    /// <summary>Where a function begins that gives the tiles up.</summary>
    public int Release { get; private set; }

    /// <summary>Writes the routines.</summary>
    public static AmxCode Write()
    {
        var code = new AmxCode();
        code.Configure = code.Begin();
        code.Emit(0xC4, 0xE2, 0x78, 0x49, 0x07);   // ldtilecfg [rdi]
        code.Return();
        code.Release = code.Begin();
        code.Emit(0xC4, 0xE2, 0x78, 0x49, 0xC0);   // tilerelease
        code.Return();
        code.Multiply = code.Begin();
        code.WriteMultiply();
        return code;
    }

    private void WriteMultiply()
    {
        // The sums: what C holds, or nothing.
        Load(R11, nameof(BlockProduct.CStride));
        Load(R10, nameof(BlockProduct.C));
        CompareWithZero(nameof(BlockProduct.Accumulate));
        int toZero = JumpIfEqual();
        EachOfSums(LoadTile);
        int toFactors = Jump();
        LandHere(toZero);
        for (int tile = 0; tile < 4; tile++)
            ZeroTile(Sums + tile);
        LandHere(toFactors);

        Load(Rsi, nameof(BlockProduct.A));
        Load(R8, nameof(BlockProduct.AStride));
        Load(R9, nameof(BlockProduct.Offsets));
        Load(Rcx, nameof(BlockProduct.Steps));
        Load(Rdx, nameof(BlockProduct.B));
        Load(R11, nameof(BlockProduct.BStride));
        Move(R10, Rdx);
        Add(R10, nameof(BlockProduct.BSecond));

        int loop = Here;
        Emit(0x49, 0x8B, 0x01);               // mov rax, [r9]
        Add(Rax, Rsi);
        LoadTile(Left, Rax, R8);
        LoadTile(Right, Rdx, R11);
        MultiplyTiles(Sums, Left, Right);
        Add(Rax, nameof(BlockProduct.ASecond));
        LoadTile(Right + 1, R10, R11);
        MultiplyTiles(Sums + 1, Left, Right + 1);
        LoadTile(Left + 1, Rax, R8);
        MultiplyTiles(Sums + 2, Left + 1, Right);
        MultiplyTiles(Sums + 3, Left + 1, Right + 1);
        Add(Rdx, nameof(BlockProduct.BStep));
        Add(R10, nameof(BlockProduct.BStep));
        Emit(0x49, 0x83, 0xC1, sizeof(long)); // add r9, 8
        Emit(0x48, 0xFF, 0xC9);               // dec rcx
        JumpBackUnlessZero(loop);

        Load(R11, nameof(BlockProduct.CStride));
        Load(R10, nameof(BlockProduct.C));
        EachOfSums(StoreTile);
        Return();
    }

    /// <summary>The four tiles of C, which begins at r10 and has the stride r11; changes rax and r10.</summary>
    private void EachOfSums(Action<int, int, int> access)
    {
        for (int half = 0; half < 4; half += 2)
        {
            access(Sums + half, R10, R11);
            Emit(0x49, 0x8D, 0x42, 0x40);      // lea rax, [r10 + 64]
            access(Sums + half + 1, Rax, R11);
            Emit(0x4C, 0x89, 0xD8);            // mov rax, r11
            Emit(0x48, 0xC1, 0xE0, 0x04);      // shl rax, 4
            Emit(0x49, 0x01, 0xC2);            // add r10, rax
        }
    }

    // VEX.128.F2.0F38.W0 4B /r: tileloadd.
    private void LoadTile(int tile, int origin, int stride) => TileMemory(0x7B, tile, origin, stride);

    // VEX.128.F3.0F38.W0 4B /r: tilestored.
    private void StoreTile(int tile, int origin, int stride) => TileMemory(0x7A, tile, origin, stride);

    private void TileMemory(byte prefix, int tile, int origin, int stride) => Emit(
        0xC4, (byte)(0x82 | (stride < 8 ? 0x40 : 0) | (origin < 8 ? 0x20 : 0)), prefix, 0x4B, (byte)(0x04 | tile << 3), (byte)((stride & 7) << 3 | (origin & 7)));

    // VEX.128.F2.0F38.W0 49 /r: tilezero.
    private void ZeroTile(int tile) => Emit(0xC4, 0xE2, 0x7B, 0x49, (byte)(0xC0 | tile << 3));

    // VEX.128.F3.0F38.W0 5C /r: tdpbf16ps.
    private void MultiplyTiles(int sums, int left, int right) => Emit(0xC4, 0xE2, (byte)((~right & 15) << 3 | 2), 0x5C, (byte)(0xC0 | sums << 3 | left));
}
