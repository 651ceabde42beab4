using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>The routines of <see cref="DotUnit"/>: <see cref="PairUnit.RowMultiple"/> rows of sums, in two registers each. Fewer would wait for their sums, more would not fit beside the factors.</summary>
internal sealed class DotCode : VectorCode
{
    private const int Rows = PairUnit.RowMultiple;
    private const int Pairs = MatrixUnit.Depth / 2;

    // zmm0 to zmm15 are the sums, row by row.
    private const int Left = 16;
    private const int Right = 18;

    private DotCode()
        : base(name => Marshal.OffsetOf<BlockProduct>(name))
    {
    }

    /// <summary>
    /// Writes both routines, of the <see cref="BlockProduct"/> in rdi; the left factor begins at rsi and the sums begin at rdx. One multiplies rows, the other columns that lie in pairs.
    /// </summary>
    /// <returns>The code, and where each routine begins.</returns>
    public static (DotCode Code, (int Rows, int Pairs) Entries) Write()
    {
        var code = new DotCode();
        return (code, (code.WriteMultiply(), code.WriteMultiplyPairs()));
    }

    private int WriteMultiply()
    {
        int entry = Begin();
        Push(Rbx);
        Push(R12);
        Push(Rdx);
        WriteStart();

        Load(R8, nameof(BlockProduct.AStride));
        TripleRowDistance();
        Load(R9, nameof(BlockProduct.Offsets));
        Load(R10, nameof(BlockProduct.B));
        Load(R11, nameof(BlockProduct.BStride));
        Load(R12, nameof(BlockProduct.Steps));

        int loop = Here;
        Emit(0x49, 0x8B, 0x01);                                       // mov rax, [r9]
        Add(Rax, Rsi);
        Emit(0x4A, 0x8D, 0x14, 0x80);                                 // lea rdx, [rax + 4·r8]
        Push(R10);
        Move(Rbx, R10);
        Add(Rbx, nameof(BlockProduct.BSecond));
        for (int pair = 0; pair < Pairs; pair++)
        {
            LoadVector(Right, R10, 0);
            LoadVector(Right + 1, Rbx, 0);
            Add(R10, R11);
            Add(Rbx, R11);
            for (int row = 0; row < Rows; row++)
            {
                BroadcastRow(LeftOf(row), row, Rax, Rdx, pair);
                MultiplyRow(row);
            }
        }
        Pop(R10);
        Add(R10, nameof(BlockProduct.BStep));
        Emit(0x49, 0x83, 0xC1, sizeof(long));                         // add r9, 8
        Emit(0x49, 0xFF, 0xCC);                                       // dec r12
        JumpBackUnlessZero(loop);

        Pop(Rdx);
        WriteEnd();
        Pop(R12);
        Pop(Rbx);
        Return();
        return entry;
    }

    private int WriteMultiplyPairs()
    {
        int entry = Begin();
        WriteStart();
        Load(R8, nameof(BlockProduct.AStride));
        Load(R9, nameof(BlockProduct.Steps));
        Load(R10, nameof(BlockProduct.B));
        Load(R11, nameof(BlockProduct.BStride));
        Move(Rcx, R10);
        Add(Rcx, nameof(BlockProduct.BSecond));

        int loop = Here;
        LoadVector(Right, R10, 0);
        LoadVector(Right + 1, Rcx, 0);
        for (int row = 0; row < Rows; row++)
        {
            BroadcastWord(LeftOf(row), Rsi, None, 0, row);
            MultiplyRow(row);
        }
        Add(Rsi, R8);
        Add(R10, R11);
        Add(Rcx, R11);
        Emit(0x49, 0xFF, 0xC9);                                       // dec r9
        JumpBackUnlessZero(loop);

        WriteEnd();
        Return();
        return entry;
    }

    /// <summary>The sums: what they are added to, or nothing.</summary>
    private void WriteStart()
    {
        CompareWithZero(nameof(BlockProduct.Accumulate));
        int toZero = JumpIfEqual();
        Move(Rax, Rdx);
        Add(Rax, nameof(BlockProduct.Start));
        EachOfSums(LoadVector);
        int toFactors = Jump();
        LandHere(toZero);
        for (int sum = 0; sum < 2 * Rows; sum++)
            ZeroVector(sum);
        LandHere(toFactors);
    }

    private void WriteEnd()
    {
        Move(Rax, Rdx);
        EachOfSums(StoreVector);
        EndVectors();
    }

    /// <summary>Two registers take turns.</summary>
    private static int LeftOf(int row) => Left + row % 2;

    private void MultiplyRow(int row)
    {
        Multiply(2 * row, LeftOf(row), Right);
        Multiply(2 * row + 1, LeftOf(row), Right + 1);
    }

    /// <summary>Rows as far apart as those of C, which begin at rax; changes rax and r11.</summary>
    private void EachOfSums(Action<int, int, int> access)
    {
        Load(R11, nameof(BlockProduct.CStride));
        for (int row = 0; row < Rows; row++)
        {
            access(2 * row, Rax, 0);
            access(2 * row + 1, Rax, 1);
            Add(Rax, R11);
        }
    }

    private void Multiply(int sums, int left, int right) => Vector(PF3, M0F38, 0x52, sums, left, right);   // vdpbf16ps
}
