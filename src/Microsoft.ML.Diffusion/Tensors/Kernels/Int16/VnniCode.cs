using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>The routines of <see cref="VnniUnit"/>: 6 or 4 rows of sums, in one or two registers each, from the first pair to the powers. The <see cref="Int16Block"/> is in rdi.</summary>
internal sealed class VnniCode : VectorCode
{
    // zmm0 to zmm11 are the sums, row by row.
    private const int Right = 16;
    private const int Left = 18;
    private const int Scale = 20;
    private const int Before = 21;

    private VnniCode()
        : base(name => Marshal.OffsetOf<Int16Block>(name))
    {
    }

    /// <summary>Writes all.</summary>
    /// <returns>The code, and where each routine begins.</returns>
    public static (VnniCode Code, (int Six2, int Six1, int Four2, int Four1) Entries) Write()
    {
        var code = new VnniCode();
        return (code, (code.WriteBlock(6, 2), code.WriteBlock(6, 1), code.WriteBlock(4, 2), code.WriteBlock(4, 1)));
    }

    private int WriteBlock(int rows, int registers)
    {
        int entry = Begin();
        Load(Rsi, nameof(Int16Block.A));
        Load(R8, nameof(Int16Block.AStride));
        Load(R9, nameof(Int16Block.AStep));
        Load(R10, nameof(Int16Block.B));
        Load(R11, nameof(Int16Block.BStride));
        Load(Rax, nameof(Int16Block.Pairs));
        TripleRowDistance();
        Emit(0x4A, 0x8D, 0x14, 0x86);                  // lea rdx, [rsi + 4·r8]
        for (int sum = 0; sum < rows * registers; sum++)
            ZeroVector(sum);

        int loop = Here;
        LoadRight(registers);
        for (int row = 0; row < rows; row++)
        {
            BroadcastRow(LeftOf(row), row, Rsi, Rdx, 0);
            for (int i = 0; i < registers; i++)
                Vector(P66, M0F38, 0x52, row * registers + i, LeftOf(row), Right + i);   // vpdpwssd
        }
        Add(Rsi, R9);
        Add(Rdx, R9);
        Add(R10, R11);
        Emit(0x48, 0xFF, 0xC8);                        // dec rax
        JumpBackUnlessZero(loop);

        // Both factors' powers lie where their next pairs would.
        LoadRight(registers);
        Load(Rax, nameof(Int16Block.C));
        Load(R11, nameof(Int16Block.CStride));
        CompareWithZero(nameof(Int16Block.Adds));
        int toWrite = JumpIfEqual();
        WriteRows(rows, registers, adds: true);
        LandHere(toWrite);
        WriteRows(rows, registers, adds: false);
        return entry;
    }

    /// <summary>Sums, times the powers of their columns and of their row; then the end.</summary>
    private void WriteRows(int rows, int registers, bool adds)
    {
        for (int row = 0; row < rows; row++)
        {
            BroadcastRow(LeftOf(row), row, Rsi, Rdx, 0);
            for (int i = 0; i < registers; i++)
            {
                int sum = row * registers + i;
                Vector(NoPrefix, M0F, 0x59, Scale, Right + i, LeftOf(row));   // vmulps
                Vector(NoPrefix, M0F, 0x5B, sum, 0, sum);                     // vcvtdq2ps
                Vector(NoPrefix, M0F, 0x59, sum, sum, Scale);                 // vmulps
                if (adds)
                {
                    LoadVector(Before, Rax, i);
                    Vector(NoPrefix, M0F, 0x58, sum, sum, Before);            // vaddps
                }
                StoreVector(sum, Rax, i);
            }
            Add(Rax, R11);
        }
        EndVectors();
        Return();
    }

    /// <summary>Two registers take turns.</summary>
    private static int LeftOf(int row) => Left + row % 2;

    private void LoadRight(int registers)
    {
        for (int i = 0; i < registers; i++)
            LoadVector(Right + i, R10, i);
    }
}
