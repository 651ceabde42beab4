using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The routines of <see cref="VnniUnit"/>: 6 or 4 rows of sums, in one or two registers each, from the first pair to the powers. The <see cref="Int16Block"/> is in rdi.
/// </summary>
/// <remarks>
/// Two of three sums take half as many multiplications (Winograd 1968, "A New Algorithm for Inner Product"): of pairs of numbers a, a' and b, b', (a + b')(a' + b) is ab + a'b' + aa' + bb',
/// of which the last two belong to a factor alone (<see cref="Int16Layout"/>). AMD's processors multiply in two of four units and add in all: two of three sums keep all of them busy,
/// one and a half times as many products as their multiplications alone would give. What does not fit 32 bits on the way comes back: the integers are those modulo 2³².
/// </remarks>
internal sealed class VnniCode : VectorCode
{
    private const int Registers = 32;

    private readonly bool _addsFactors;

    // The sums come first, row by row, then two rows of pairs of the right factor; what is left takes turns.
    private int _right, _firstFree, _taken;

    private VnniCode(bool addsFactors)
        : base(name => Marshal.OffsetOf<Int16Block>(name)) => _addsFactors = addsFactors;

    /// <summary>Writes all.</summary>
    /// <param name="addsFactors">Whether some of the sums are of products of sums.</param>
    /// <returns>The code, and where each routine begins.</returns>
    public static (VnniCode Code, (int Six2, int Six1, int Four2, int Four1) Entries) Write(bool addsFactors)
    {
        var code = new VnniCode(addsFactors);
        return (code, (code.WriteBlock(6, 2), code.WriteBlock(6, 1), code.WriteBlock(4, 2), code.WriteBlock(4, 1)));
    }

    private int WriteBlock(int rows, int registers)
    {
        _right = rows * registers;
        _firstFree = _right + 2 * registers;
        _taken = 0;
        int entry = Begin();
        Push(Rbx);
        Push(R12);
        Load(R8, nameof(Int16Block.AStride));
        TripleRowDistance();
        WriteStart(rows, registers);

        Load(Rsi, nameof(Int16Block.A));
        FindFifthRow();
        Load(R9, nameof(Int16Block.AStep));
        Load(R10, nameof(Int16Block.B));
        Load(R11, nameof(Int16Block.BStride));
        CompareWithZero(nameof(Int16Block.Twos));
        int toOdd = JumpIfEqual();
        WriteTwos(rows, registers);

        LandHere(toOdd);
        CompareWithZero(nameof(Int16Block.Odd));
        int toPowers = JumpIfEqual();
        WriteOdd(rows, registers);

        // Both factors' powers lie where their next pairs would.
        LandHere(toPowers);
        LoadRight(_right, registers);
        Load(Rax, nameof(Int16Block.C));
        Load(R11, nameof(Int16Block.CStride));
        CompareWithZero(nameof(Int16Block.Adds));
        int toWrite = JumpIfEqual();
        WriteRows(rows, registers, adds: true);
        LandHere(toWrite);
        WriteRows(rows, registers, adds: false);
        return entry;
    }

    /// <summary>Sums begin at nothing, or at what the factors' own give too much.</summary>
    private void WriteStart(int rows, int registers)
    {
        Load(Rsi, nameof(Int16Block.AOwn));
        FindFifthRow();
        Load(R10, nameof(Int16Block.BOwn));
        LoadRight(_right, registers);
        for (int row = 0; row < rows; row++)
        {
            int left = Take();
            BroadcastRow(left, row, Rsi, Rdx, 0);
            for (int i = 0; i < registers; i++)
            {
                int sum = row * registers + i;
                if (AddsFactors(sum))
                    Vector(P66, M0F, 0xFE, sum, left, _right + i);                // vpaddd
                else
                    ZeroVector(sum);
            }
        }
    }

    /// <summary>Two pairs at a time.</summary>
    private void WriteTwos(int rows, int registers)
    {
        Load(Rax, nameof(Int16Block.Twos));
        int loop = Here;
        Move(Rbx, Rsi);
        Add(Rbx, R9);
        Move(R12, Rdx);
        Add(R12, R9);
        LoadRight(_right, registers);
        Add(R10, R11);
        LoadRight(_right + registers, registers);
        Add(R10, R11);
        for (int row = 0; row < rows; row++)
        {
            int first = Take(), second = Take();
            BroadcastRow(first, row, Rsi, Rdx, 0);
            BroadcastRow(second, row, Rbx, R12, 0);
            for (int i = 0; i < registers; i++)
                MultiplyTwo(row * registers + i, first, second, _right + i, _right + registers + i);
        }
        Move(Rsi, Rbx);
        Add(Rsi, R9);
        Move(Rdx, R12);
        Add(Rdx, R9);
        Emit(0x48, 0xFF, 0xC8);                                                   // dec rax
        JumpBackUnlessZero(loop);
    }

    /// <summary>The last pair of an odd number.</summary>
    private void WriteOdd(int rows, int registers)
    {
        LoadRight(_right, registers);
        for (int row = 0; row < rows; row++)
        {
            int left = Take();
            BroadcastRow(left, row, Rsi, Rdx, 0);
            for (int i = 0; i < registers; i++)
                Multiply(row * registers + i, left, _right + i);
        }
        Add(Rsi, R9);
        Add(Rdx, R9);
        Add(R10, R11);
    }

    private void MultiplyTwo(int sum, int left, int nextLeft, int right, int nextRight)
    {
        if (AddsFactors(sum))
        {
            int first = Take(), second = Take();
            Vector(P66, M0F, 0xFD, first, left, nextRight);                       // vpaddw
            Vector(P66, M0F, 0xFD, second, nextLeft, right);
            Multiply(sum, first, second);
        }
        else
        {
            Multiply(sum, left, right);
            Multiply(sum, nextLeft, nextRight);
        }
    }

    /// <summary>Sums, times the powers of their columns and of their row; then the end.</summary>
    private void WriteRows(int rows, int registers, bool adds)
    {
        for (int row = 0; row < rows; row++)
        {
            int left = Take(), scale = Take(), before = Take();
            BroadcastRow(left, row, Rsi, Rdx, 0);
            for (int i = 0; i < registers; i++)
            {
                int sum = row * registers + i;
                Vector(NoPrefix, M0F, 0x59, scale, _right + i, left);             // vmulps
                Vector(NoPrefix, M0F, 0x5B, sum, 0, sum);                         // vcvtdq2ps
                Vector(NoPrefix, M0F, 0x59, sum, sum, scale);                     // vmulps
                if (adds)
                {
                    LoadVector(before, Rax, i);
                    Vector(NoPrefix, M0F, 0x58, sum, sum, before);                // vaddps
                }
                StoreVector(sum, Rax, i);
            }
            Add(Rax, R11);
        }
        EndVectors();
        Pop(R12);
        Pop(Rbx);
        Return();
    }

    private bool AddsFactors(int sum) => _addsFactors && sum % 3 != 2;

    /// <summary>A register that was taken longest ago.</summary>
    private int Take() => _firstFree + _taken++ % (Registers - _firstFree);

    private void FindFifthRow() => Emit(0x4A, 0x8D, 0x14, 0x86);                  // lea rdx, [rsi + 4·r8]

    private void Multiply(int sum, int left, int right) => Vector(P66, M0F38, 0x52, sum, left, right);   // vpdpwssd

    private void LoadRight(int register, int registers)
    {
        for (int i = 0; i < registers; i++)
            LoadVector(register + i, R10, i);
    }
}
